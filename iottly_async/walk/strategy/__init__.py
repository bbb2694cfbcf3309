"""The three ways to walk: sequential, unordered and ordered, the last two with many requests."""
