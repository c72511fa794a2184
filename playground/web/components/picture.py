"""A picture that goes before the prompt. It never lands in a file here: the browser scales it down and sends it with the run.

The value is a data URL, small enough for the server's limit on a request's body, which therefore stays as tight as it is.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import gradio as gr

from model.errors import SettingError

SENT = 180_000  # characters of the data URL at most; the server reads 256,000 bytes of a request
SIDE = 1_024
LAYOUT = """<div class="ink-picture"><label tabindex="0"><input type="file" accept="image/*" tabindex="-1" aria-label="Picture">
<img alt="" hidden><span>Add a picture</span></label><button type="button" hidden>Remove</button>
<p>It goes before the prompt, scaled down in your browser. The run keeps only its hash.</p></div>"""
SCRIPT = f"""
const file = element.querySelector('input'), image = element.querySelector('img');
const words = element.querySelector('span'), away = element.querySelector('button');
const show = (url, said) => {{
  props.value = url;
  image.hidden = away.hidden = !url;
  if (url) image.src = url; else image.removeAttribute('src');
  words.textContent = said;
}};
const smaller = async (chosen) => {{
  const picture = await createImageBitmap(chosen), canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
  for (let side = {SIDE}; side >= 64; side *= 0.8) {{
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    pen.fillStyle = '#fff';
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const url = canvas.toDataURL('image/jpeg', 0.85);
    if (url.length <= {SENT}) return [url, `${{canvas.width}} x ${{canvas.height}}`];
  }}
  throw new Error('too large');
}};
file.addEventListener('change', async () => {{
  if (!file.files.length) return;
  try {{ show(...await smaller(file.files[0])); }} catch (error) {{ show('', 'This picture cannot be read; try another'); }}
  file.value = '';
}});
file.parentElement.addEventListener('keydown', (event) => {{
  if (event.key === 'Enter' || event.key === ' ') event.preventDefault(), file.click();
}});
away.addEventListener('click', () => show('', 'Add a picture'));
"""


class Picture(gr.HTML):
    """A chooser whose value is a data URL, '' where there is none; `pictures_of` reads it."""

    def __init__(self, **kwargs: Any):
        super().__init__(value="", html_template=LAYOUT, js_on_load=SCRIPT, apply_default_css=False, **kwargs)

    def api_info(self) -> dict[str, Any]:
        """Describe the value to API clients."""
        return {
            "type": "string",
            "description": "a picture before the prompt as a data URL, or a list of them, '' for none; for models that take one",
        }


def pictures_of(value: Any) -> list[bytes]:
    """Return the files in an untrusted data URL, or in a list of them; raise SettingError."""
    return [_file(each) for each in (value if isinstance(value, list) else [value]) if each not in (None, "")]


def _file(value: Any) -> bytes:
    kind, comma, data = value.partition(",") if isinstance(value, str) else ("", "", "")
    try:
        if comma and kind.startswith("data:image/") and kind.endswith(";base64"):
            return base64.b64decode(data, validate=True)
    except binascii.Error:
        pass
    raise SettingError("An image must be sent as a data URL, like 'data:image/png;base64,...'.", "image")
