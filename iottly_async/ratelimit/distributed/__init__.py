"""One quota shared by several processes through Redis (extra `redis`)."""
