"""The limiter: its arithmetic as tables, its promises as properties, and real servers."""
