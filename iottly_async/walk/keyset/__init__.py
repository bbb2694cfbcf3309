"""Keyset pagination over one segment: pages, bounds, page numbers and ties. Nothing awaits."""
