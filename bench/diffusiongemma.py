"""How fast DiffusionGemma's full-size network denoises here: `python -m bench.diffusiongemma`; the last line is one JSON document.

The network has the released model's exact shape and random weights, so nothing is downloaded; a pass costs what it costs with the real
ones. Random weights never become sure, so a canvas always takes all its steps: `--steps 16` on a canvas of 256 is the 16 tokens a
forward pass that vendors quote. Measured: memory, milliseconds a step and tokens/s of our loop (with frames, and without) and of
transformers' `generate()`, eager and compiled, taking turns, each after a warm-up; and the share of the memory floor: the time it
takes to read the weights a step needs, once, at the bandwidth measured here. `--size tiny` runs the same on a processor with a network
of 200 thousand parameters, where Python takes the most time, and `--size small` with one of 23 million, where arithmetic does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from model.loops.stopwatch import Stopwatch
from model.loops.uniform import Loop
from model.loops.uniform_frames import denoise
from model.models.base import hardware
from model.models.gemma.decoder import Decoder, fixed_cache
from model.settings import Settings

NEVER = 1e-30  # a mean entropy that is looked for at every step, as in real runs, and never reached
PERIOD = ["sliding_attention"] * 5 + ["full_attention"]
FULL = {
    "vocab_size": 262_144,
    "hidden_size": 2816,
    "intermediate_size": 2112,
    "num_hidden_layers": 30,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "num_global_key_value_heads": 2,
    "head_dim": 256,
    "global_head_dim": 512,
    "sliding_window": 1024,
    "layer_types": PERIOD * 5,
    "max_position_embeddings": 262_144,
    "num_experts": 128,
    "top_k_experts": 8,
    "moe_intermediate_size": 704,
    "use_bidirectional_attention": "vision",
}
FULL_VISION = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "head_dim": 72,
}
TINY = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "global_head_dim": 16,
    "sliding_window": 32,
    "layer_types": PERIOD[-2:],
    "max_position_embeddings": 1024,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 32,
}
SMALL = TINY | {
    "vocab_size": 8192,
    "hidden_size": 512,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "head_dim": 64,
    "global_head_dim": 64,
    "layer_types": PERIOD[-2:] * 2,
    "max_position_embeddings": 4096,
    "num_experts": 8,
    "moe_intermediate_size": 256,
}
TINY_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "position_embedding_size": 256,
}


SHAPES = {
    "full": (FULL, FULL_VISION, 256),
    "small": (SMALL, TINY_VISION, 64),
    "tiny": (TINY, TINY_VISION, 32),
}  # text, vision, canvas


def config(size: str = "full", canvas: int = 0, **text: Any) -> Any:
    """Return the configuration of the released model ('full': 25,823,778,864 parameters), or a 'small' or 'tiny' one of its kind."""
    from transformers import DiffusionGemmaConfig, DiffusionGemmaTextConfig, Gemma4VisionConfig

    shape, vision, length = SHAPES[size]
    ids = {} if size == "full" else {"boi_token_id": 11, "eoi_token_id": 12, "image_token_id": 10}
    return DiffusionGemmaConfig(
        text_config=DiffusionGemmaTextConfig(**{**shape, **text}),
        vision_config=Gemma4VisionConfig(**vision),
        canvas_length=canvas or length,
        **ids,
    )


def build(settings: Any, device: str, dtype: torch.dtype) -> Any:
    """Return a network with random weights; the encoder's and the decoder's shared ones take their memory once."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import DiffusionGemmaGenerationConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # it would list every weight that it found in no file
    transformers_logging.disable_progress_bar()
    cls = DiffusionGemmaForBlockDiffusion
    model = cls.from_pretrained(None, config=settings, state_dict={}, device_map={"": device}, dtype=dtype).eval()
    for module in model.modules():  # the encoder's copies are left uninitialised where no file is read
        if "layer_scalar" in module._buffers:
            module.layer_scalar.fill_(1.0)
    model.generation_config = DiffusionGemmaGenerationConfig(pad_token_id=0)
    return model


class Bench:
    """One network, one prompt, and the ways to run it."""

    def __init__(self, model: Any, steps: int, canvases: int, prompt_tokens: int):
        self.model, self.device = model, model.device
        self.length = model.config.canvas_length
        self.settings = Settings(steps=steps, canvases=canvases, new_tokens=1, confidence_threshold=NEVER)
        vocab = model.config.text_config.vocab_size
        draw = torch.Generator().manual_seed(0)
        self.prompt = torch.randint(min(1000, vocab // 2), vocab - 10, (1, prompt_tokens), generator=draw).to(
            self.device
        )
        self.cache: Any = None
        self.compiled: Any = None

    def _loop(self, compiled: bool) -> Loop:
        if not compiled:
            return Loop(Decoder(self.model), self.settings, self.prompt, pad_id=0)
        if self.compiled is None:
            self.compiled = torch.compile(self.model.forward, mode="reduce-overhead")
            self.cache = fixed_cache(self.model, self.prompt.shape[1] + self.settings.canvases * self.length)
        return Loop(Decoder(self.model, decode=self.compiled, cache=self.cache), self.settings, self.prompt, pad_id=0)

    def ours(self, compiled: bool) -> None:
        """Our loop, no frames."""
        self._loop(compiled).finish()

    def frames(self, compiled: bool) -> None:
        """Our loop as the page runs it."""
        for _ in denoise(self._loop(compiled), Stopwatch()):
            pass

    def generate(self, compiled: bool) -> None:
        """The library's own."""
        kind = {"cache_implementation": "static"} if compiled else {}
        tokens = self.settings.canvases * self.length
        self.model.generate(
            self.prompt,
            max_new_tokens=tokens,
            max_denoising_steps=self.settings.steps,
            confidence_threshold=NEVER,
            **kind,
        )

    def measure(self, compiled: bool, repeats: int) -> dict[str, Any]:
        """Return, for each way, the median milliseconds a step (encoder passes included) and tokens/s; they take turns."""
        ways: dict[str, Callable[[bool], None]] = {
            "ours": self.ours,
            "ours_with_frames": self.frames,
            "generate": self.generate,
        }
        seconds: dict[str, list[float]] = {}
        failed: dict[str, str] = {}
        for turn in range(repeats + 1):
            for name, run in ways.items():
                if name in failed:
                    continue
                try:
                    spent = self._time(run, compiled)
                except Exception as error:  # one way that does not run here must not hide the others
                    failed[name] = f"{type(error).__name__}: {str(error).strip()[:200]}"
                    continue
                say(
                    f"{name}{' compiled' if compiled else ''}, {'warm-up' if turn == 0 else f'turn {turn}'}: {spent:.3f} s"
                )
                if turn:
                    seconds.setdefault(name, []).append(spent)
        passes, tokens = self.settings.steps * self.settings.canvases, self.length * self.settings.canvases
        out: dict[str, Any] = {}
        for name, times in seconds.items():
            middle = statistics.median(times)
            out[name] = {"ms_per_step": round(middle / passes * 1e3, 3), "tokens_per_second": round(tokens / middle, 1)}
        return out | {name: {"failed": why} for name, why in failed.items()}

    def _time(self, run: Callable[[bool], None], compiled: bool) -> float:
        self._wait()
        begin = time.perf_counter()
        run(compiled)
        self._wait()
        return time.perf_counter() - begin

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def step_bytes(self) -> int:
        """Bytes of weights that one decoder step reads: all but the vision tower, and the embedding twice (belief in, logits out)."""
        vision = {id(p) for p in self.model.model.encoder.vision_tower.parameters()}
        used = sum(p.numel() * p.element_size() for p in self.model.parameters() if id(p) not in vision)
        table = self.model.lm_head.weight
        return used + table.numel() * table.element_size()


def bandwidth(device: torch.device, size: int) -> float:
    """Return the bytes a second that a copy of `size` bytes moves, reads and writes counted; the best of five."""
    source, target = (
        torch.empty(size, dtype=torch.uint8, device=device),
        torch.empty(size, dtype=torch.uint8, device=device),
    )
    best = 0.0
    for _ in range(6):
        if device.type == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size / (time.perf_counter() - begin))
    return best


def say(words: str) -> None:
    """Tell a waiting reader what happens; the document is on stdout's last line."""
    print(words, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the bench and print the document; return 0, or 2 with one sentence where there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m bench.diffusiongemma", description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", choices=SHAPES, default="full", help="tiny and small run on the processor")
    parser.add_argument("--steps", type=int, default=16, help="denoising steps a canvas")
    parser.add_argument("--canvases", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled runs")
    options = parser.parse_args(arguments)
    full = options.size == "full"
    if full and not torch.cuda.is_available():
        say(
            "The full-size network needs a GPU with about 56 GB free, and this machine has none; --size small runs one on the processor."
        )
        return 2
    import transformers

    device = torch.device("cuda" if full else "cpu")
    if not full:
        torch.set_num_threads(1)  # products this small only wait for each other
    begin = time.perf_counter()
    model = build(config(options.size), str(device), torch.bfloat16 if full else torch.float32)
    say(f"built in {time.perf_counter() - begin:.1f} s")
    bench = Bench(model, options.steps, options.canvases, options.prompt_tokens)
    document: dict[str, Any] = {
        "hardware": torch.cuda.get_device_name() if device.type == "cuda" else hardware(),
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "size": options.size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "canvas": bench.length,
        "steps": options.steps,
        "canvases": options.canvases,
        "prompt_tokens": options.prompt_tokens,
        "tokens_per_forward": round(bench.length / options.steps, 2),
        "weights_bytes": sum(p.nbytes for p in model.parameters()),
    }
    document["eager"] = bench.measure(False, options.repeats)
    if not options.no_compile:
        document["compiled"] = bench.measure(True, options.repeats)
    if device.type == "cuda":
        document["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
    document |= summary(document, bench.step_bytes(), bandwidth(device, 4 << 30 if device.type == "cuda" else 64 << 20))
    print(json.dumps(document), flush=True)
    return 0


def summary(document: dict[str, Any], step_bytes: int, rate: float) -> dict[str, Any]:
    """Return the memory floor and how near the fastest of our runs came to it, and ours against `generate()` of the same kind."""
    ours = [
        document[kind][way]["ms_per_step"]
        for kind in ("eager", "compiled")
        for way in ("ours", "ours_with_frames")
        if "ms_per_step" in document.get(kind, {}).get(way, {})
    ]
    floor = step_bytes / rate * 1e3
    against: dict[str, dict[str, float]] = {"ours": {}, "ours_with_frames": {}}
    for way, ratios in against.items():
        for kind in ("eager", "compiled"):
            mine, theirs = (document.get(kind, {}).get(name, {}).get("ms_per_step") for name in (way, "generate"))
            if mine and theirs:
                ratios[kind] = round(mine / theirs, 3)
    return {
        "step_bytes": step_bytes,
        "bandwidth_bytes_per_second": round(rate),
        "floor_ms_per_step": round(floor, 4),
        "share_of_floor": round(floor / min(ours), 4) if ours else None,
        "over_generate": against["ours"],
        "frames_over_generate": against["ours_with_frames"],
    }


if __name__ == "__main__":
    sys.exit(main())
