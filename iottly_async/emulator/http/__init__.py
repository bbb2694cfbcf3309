"""The emulator's HTTP side: dispatch, routes, handlers, fault injection and control address."""
