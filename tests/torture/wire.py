"""A wire that can be cut in silence: a TCP proxy whose sockets stay open while no byte goes through."""

import contextlib
import socket
import threading


class Wire:
    """Forwards 127.0.0.1:port to `target`; while `is_cut`, bytes vanish in both directions, as on a dead radio link.

    What vanished once makes a connection useless, so a connection that lived through a cut stays dead for ever.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_cut = False
        self.is_refusing = False
        self.accepted = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def close(self) -> None:
        """Close everything."""
        self._listener.close()
        for one in list(self._open):
            _close(one)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.is_refusing:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target), timeout=20)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._open |= {near, far}
            lost = threading.Event()
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pump, args=(source, sink, lost), name="wire-pump", daemon=True
                ).start()

    def _pump(self, source: socket.socket, sink: socket.socket, lost: threading.Event) -> None:
        try:
            while chunk := source.recv(65_536):
                if self.is_cut:
                    lost.set()
                if not lost.is_set():
                    sink.sendall(chunk)
        except OSError:
            pass
        finally:
            # The end of one side is no news either while the line is dead; the other side must notice by itself.
            if lost.is_set() or self.is_cut:
                _close(source)
                self._open.discard(source)
            else:
                for one in (source, sink):
                    _close(one)
                    self._open.discard(one)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
