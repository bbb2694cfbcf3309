"""What tests share: virtual time, servers in other processes, fixtures."""
