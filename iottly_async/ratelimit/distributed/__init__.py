"""One quota for several processes, through Redis (extra ``redis``)."""
