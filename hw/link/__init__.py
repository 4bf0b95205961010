"""The host link: UART, frames and packets between a host and the core. See `protocol` for what goes over it."""
