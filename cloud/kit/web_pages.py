"""The built web pages: hashed files are kept by browsers for good, pages are asked for every time."""

import os
import re
from pathlib import Path
from typing import Final

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from typing_extensions import override

_HASHED: Final = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$")
_FOR_GOOD: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_NOT_BUILT: Final = """<!doctype html><html lang="zh"><meta charset="utf-8"><title>Linli</title>
<p>网页尚未构建。The web pages are not built yet: run <code>make web</code>, then load this page again.</p>"""
FIRST_PAGE: Final = "console/index.html"


class _Pages(StaticFiles):
    @override
    async def check_config(self) -> None:
        try:
            await super().check_config()
        except RuntimeError:
            raise HTTPException(404, "Not Found") from None

    @override
    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        is_hashed = _HASHED.search(str(full_path)) is not None
        response.headers["cache-control"] = _FOR_GOOD if is_hashed else _ASK_AGAIN
        return response


def serve_pages(app: FastAPI, dist: Path) -> None:
    """Serve the built pages below `/`, the duty console at `/` itself; without a build, say how to make it."""

    def first_page() -> Response:
        page = dist / FIRST_PAGE
        if not page.is_file():
            return HTMLResponse(_NOT_BUILT, 503, {"cache-control": "no-store"})
        return FileResponse(page, headers={"cache-control": _ASK_AGAIN})

    app.add_api_route("/", first_page, include_in_schema=False)
    app.mount("/", _Pages(directory=dist, html=True, check_dir=False), name="pages")
