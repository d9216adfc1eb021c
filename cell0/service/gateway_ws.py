"""The gateway by its name in Cell 0 OS: ``python -m cell0.service.gateway_ws --host 0.0.0.0 --port 18801``."""

from cell0gw.app.application import WebSocketGateway

__all__ = ["WebSocketGateway"]

if __name__ == "__main__":
    from cell0gw.cli import main

    main(program="python -m cell0.service.gateway_ws")
