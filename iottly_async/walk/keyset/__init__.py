"""Keyset pagination of one segment of time: bounds, pages, page numbers and ties. Pure."""
