"""Three ways to walk: one request at a time, many in order, and many without order."""
