"""The page as a tool for assistants: the Model Context Protocol over HTTP (streamable HTTP, answers as JSON), one tool, `denoise`.

POST /mcp takes one JSON-RPC message and holds no session. A run takes its turn like anybody's, within the same limits, and ends when the
asking connection does. The last traces are kept under names that nobody can guess: GET /mcp/traces/NAME.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections import OrderedDict
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from model.engine import catalog
from model.engine.engine import Engine
from model.engine.parsing import parse_model, parse_request
from model.errors import ModelUnavailable, PlaygroundError, SettingError
from model.knobs import bounds
from model.limits import Limits
from model.settings import FIELDS, MODES
from model.trace.trace import Trace
from playground.compare.summary import summary
from playground.links import link_of
from playground.presets import begun
from playground.web.handlers.runs import unexpected
from playground.web.queue import address_of

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")  # of the protocol, newest first
KEPT, AT_ONCE = 64, 8  # traces kept; runs that may wait or compute
ABOUT = (
    "Write text with a small language model that denoises: every step decides several words, all over the text. Returns the text, how many "
    "tokens and forward passes it took, tokens a second as measured, what an exact check found wrong (where the model's texts can be "
    "checked), a link that opens the same run on the page, and a link to the whole trace as JSON (every step, every word, and why). "
    "The built-in models are small: do not rely on what they say."
)


def tool(engine: Engine) -> dict[str, Any]:
    """Return the description of the one tool: what it takes, with the bounds of every knob, and what it gives."""
    models = [entry.spec for entry in catalog.entries() if entry.standing()[0] == "ready"]
    told = "; ".join(f"{spec.id}: {spec.name}" for spec in models)
    settings = {field.name: _schema(field, engine.limits) for field in FIELDS}
    takes = {
        "prompt": {
            "type": "string",
            "minLength": 1,
            "maxLength": engine.limits.prompt_chars,
            "description": "What to write.",
        },
        "model": {"type": "string", "enum": [spec.id for spec in models], "default": "worlds", "description": told},
        "mode": {
            "type": "string",
            "enum": list(MODES),
            "description": "Denoise, or 'ar': left to right. Default: the model's first.",
        },
        "settings": {
            "type": "object",
            "properties": settings,
            "additionalProperties": False,
            "description": "Knobs; what is left out is as the page begins with the model.",
        },
    }
    gives = {
        "text": "string",
        "tokens": "integer",
        "forwards": "integer",
        "seconds": "number",
        "page": "string",
        "trace": "string",
    }
    return {
        "name": "denoise",
        "title": "Write by denoising",
        "description": ABOUT,
        "inputSchema": {"type": "object", "properties": takes, "required": ["prompt"], "additionalProperties": False},
        "outputSchema": {
            "type": "object",
            "properties": {name: {"type": kind} for name, kind in gives.items()},
            "required": list(gives),
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }


def _schema(field: Any, limits: Limits) -> dict[str, Any]:
    about = {"description": field.help, "default": field.default}
    if field.kind == "choice":
        return {"type": "string", "enum": list(field.choices), **about}
    low, high = bounds(field, limits)
    lower = "exclusiveMinimum" if field.open_low else "minimum"
    return {"type": "integer" if field.kind == "int" else "number", lower: low, "maximum": high, **about}


class Assistant:
    """The tool over one engine. proxies: trusted ones before the page (see `queue.address_of`)."""

    def __init__(self, engine: Engine, proxies: int = 0):
        self.engine, self.proxies = engine, proxies
        self.traces: OrderedDict[str, bytes] = OrderedDict()
        self.open = 0

    def routes(self) -> list[Route]:
        """Return the addresses it answers at."""
        return [Route("/mcp", self.answer, methods=["POST"]), Route("/mcp/traces/{name}.json", self.trace)]

    async def trace(self, request: Request) -> Response:
        """Give a kept trace."""
        document = self.traces.get(request.path_params["name"])
        if document is None:
            return JSONResponse({"detail": "This trace is not kept any more."}, 404)
        headers = {"content-disposition": 'attachment; filename="trace.json"', "cache-control": "no-store"}
        return Response(document, media_type="application/json", headers=headers)

    async def answer(self, request: Request) -> Response:
        """Answer one message of the protocol."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"detail": "Send JSON, with content-type application/json."}, 415)
        try:
            asked = json.loads(await request.body())
        except (ValueError, RecursionError, ClientDisconnect):
            return _failed(None, -32700, "This is not JSON.", 400)
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return _failed(None, -32600, "This is not one request.", 400)
        number, params = asked.get("id"), asked.get("params") or {}
        if number is None:
            return Response(status_code=202)  # a notification: nothing is kept that it could change
        if not isinstance(number, int | str) or not isinstance(params, dict):
            return _failed(None, -32600, "This is not a request.", 400)
        match asked["method"]:
            case "initialize":
                wanted = params.get("protocolVersion")
                result: dict[str, Any] = {
                    "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
                    "capabilities": {"tools": {}},
                    "serverInfo": {
                        "name": "inkblot",
                        "title": "Inkblot, a text diffusion playground",
                        "version": "0.1.0",
                    },
                }
            case "ping":
                result = {}
            case "tools/list":
                result = {"tools": [await asyncio.to_thread(tool, self.engine)]}
            case "tools/call" if params.get("name") == "denoise":
                result = await self.call(request, params.get("arguments") or {})
            case "tools/call":
                return _failed(number, -32602, "There is one tool: denoise.")
            case _:
                return _failed(number, -32601, "This is not offered here.")
        return JSONResponse({"jsonrpc": "2.0", "id": number, "result": result})

    async def call(self, request: Request, arguments: Any) -> dict[str, Any]:
        """Write, and return what the tool gives; an error is told to the assistant in one sentence."""
        if self.open >= AT_ONCE:
            return _told("Too many runs wait already; try again in a minute.", True)
        self.open += 1
        try:
            given = await self.written(request, arguments)
        except PlaygroundError as error:
            return _told(str(error), True)
        except Exception as error:
            return _told(unexpected(error), True)
        finally:
            self.open -= 1
        return _told(json.dumps(given, ensure_ascii=False), False) | {"structuredContent": given}

    async def written(self, request: Request, arguments: Any) -> dict[str, Any]:
        """Run what was asked for; raise PlaygroundError."""
        if not isinstance(arguments, dict) or not arguments.keys() <= {"prompt", "model", "mode", "settings"}:
            raise SettingError("denoise takes prompt, model, mode and settings.", "arguments")
        model = parse_model(arguments.get("model", "worlds"), self.engine.limits)
        settings = arguments.get("settings") or {}
        if not isinstance(settings, dict):
            raise SettingError("'settings' must map names to values, like {'steps': 16}.", "settings")
        if (known := catalog.known(model)) is None:
            raise ModelUnavailable(f"There is no model called '{model[:60]}' among those this tool offers.")
        mode = arguments.get("mode", known.spec.modes[0])
        knobs = begun(model, settings)
        asked = parse_request(arguments.get("prompt"), knobs, model=model, mode=mode, limits=self.engine.limits)
        with self.engine.run(asked, address_of(request, self.proxies)) as run:

            def write() -> None:
                for _ in run:
                    pass

            async def left() -> None:
                while not await request.is_disconnected():
                    await asyncio.sleep(0.1)

            work, gone = asyncio.create_task(asyncio.to_thread(write)), asyncio.create_task(left())
            try:
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                run.stop() if not work.done() else None
                await work
        if run.trace is None or run.trace.result is None:
            raise PlaygroundError("The run was stopped before it wrote anything.")
        return self.given(run.trace, base_of(request))

    def given(self, trace: Trace, base: str) -> dict[str, Any]:
        """Return a finished run as the tool tells it, and keep its trace."""
        name = secrets.token_urlsafe(12)
        self.traces[name] = trace.to_json(self.engine.limits.trace_bytes).encode()
        while len(self.traces) > KEPT:
            self.traces.popitem(last=False)
        link = link_of(trace.spec.id, trace.mode, trace.prompt, trace.system, "", trace.settings)
        told = {key: value for key, value in summary(trace).items() if key not in ("ids", "prompt", "after_end")}
        return told | {"page": f"{base}/{link}", "trace": f"{base}/mcp/traces/{name}.json"}


def base_of(request: Request) -> str:
    """Return the page's own address, as the one who asks sees it."""
    root = os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/")
    return root if root.startswith("http") else f"{request.url.scheme}://{request.headers.get('host', '')}{root}"


def _told(text: str, failed: bool) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _failed(number: Any, code: int, message: str, status: int = 200) -> JSONResponse:
    return JSONResponse({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}, status)
