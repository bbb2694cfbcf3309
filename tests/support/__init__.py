"""What tests share: virtual time, servers, proxies and fixtures."""
