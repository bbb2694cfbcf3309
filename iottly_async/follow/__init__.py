"""Following devices: walks without an end, paced by the quota."""
