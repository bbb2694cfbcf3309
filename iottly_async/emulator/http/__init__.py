"""The emulator's HTTP side: routes, handlers, fault injection and the control address."""
