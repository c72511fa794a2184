/* A run as GIF, PNG, SVG or video, from its drawings (picture.js), a few frames at a time, so that the page goes on and a press ends it. */

window.inkblotFilm = (() => {
  const MOST = 120, HOLD = 2.5, QUICKEST = 0.04, SLOWEST = 1.5, BIG = 1.5; // frames, seconds of the last, of any other, size of a picture
  const TALL = 1080, PIXELS = 60e6, FEWEST = 32; // of a GIF: its height at most, the pixels of all its frames, frames where those are few
  const VIDEO = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

  /** The size of a GIF, and how many frames it may have: a large one has fewer, so that it is made in a few seconds. */
  const shrunk = (picture) => Math.min(1, TALL / picture.height);
  const room = (picture) => Math.max(FEWEST, Math.min(MOST, Math.floor(PIXELS / (picture.width * picture.height * shrunk(picture) ** 2))));

  /** When to show what: [{at: [a frame a lane], seconds}], at most `most`, the last one held. times: a lane's frames on the visitor's clock. */
  function plan(times, most = MOST) {
    const stands = (t) => times.map((lane) => lane.reduce((k, due, j) => (due <= t + 1e-9 ? j : k), 0));
    const all = times.length === 1 ? times[0].map((t, k) => ({ t, at: [k] })) : [...new Set(times.flat())].sort((a, b) => a - b).map((t) => ({ t, at: stands(t) }));
    const stride = Math.max(1, (all.length - 1) / (most - 1)), chosen = Array.from({ length: Math.min(all.length, most) }, (_, i) => all[Math.round(i * stride)]);
    return chosen.map(({ t, at }, i) => ({ at, seconds: i + 1 < chosen.length ? Math.min(SLOWEST, Math.max(QUICKEST, chosen[i + 1].t - t)) : HOLD }));
  }

  /** The colours every frame shares: those of the marks exactly, the rest by what occurs in some frames. */
  function shared(colours, samples, quantize) {
    const exact = [...new Set(Object.values(colours).flat())].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    const pixels = new Uint8Array(samples.reduce((sum, one) => sum + one.length, 0));
    let at = 0;
    for (const one of samples) (pixels.set(one, at), (at += one.length));
    return [...exact, ...quantize(pixels, 255 - exact.length, { format: "rgb565" }).map((c) => c.slice(0, 3))];
  }

  /** Each pixel's place in the palette: the nearest colour, an exact one where it is there. */
  class Painter {
    constructor(palette) {
      this.palette = palette;
      this.known = new Map();
    }

    nearest(pixel) {
      const r = pixel & 255, g = (pixel >> 8) & 255, b = (pixel >> 16) & 255;
      let best = 0, least = Infinity;
      this.palette.forEach((c, i) => {
        const far = (c[0] - r) ** 2 + (c[1] - g) ** 2 + (c[2] - b) ** 2;
        if (far < least) [best, least] = [i, far];
      });
      this.known.set(pixel, best);
      return best;
    }

    /** Return {pixels, now: every pixel's place, changed: the same with `none` where it is as in the frame before}. */
    paint(rgba, before, none) {
      const pixels = new Uint32Array(rgba.buffer), now = new Uint8Array(pixels.length), changed = new Uint8Array(pixels.length).fill(none);
      let pixel = -1, index = 0;
      for (let i = 0; i < pixels.length; i++) {
        if (before && before.pixels[i] === pixels[i]) now[i] = before.now[i];
        else {
          if (pixels[i] !== pixel) (pixel = pixels[i]), (index = this.known.get(pixel) ?? this.nearest(pixel));
          now[i] = index;
          if (!before || before.now[i] !== index) changed[i] = index;
        }
      }
      return { pixels, now, changed };
    }
  }

  const pixelsOf = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;

  /** Every frame once in one palette; what stays as it was is left out of a frame. step(share): how far it is; it throws where the visitor ends it. */
  async function gif(picture, frames, step) {
    const { GIFEncoder, quantize } = await import(new URL("gifenc.js", document.baseURI).href);
    const canvas = document.createElement("canvas"), size = shrunk(picture), picks = [0, frames.length >> 2, frames.length >> 1, frames.length - 1], samples = [];
    for (const pick of new Set(picks)) samples.push(new Uint8Array(pixelsOf(picture.draw(frames[pick].at, size, canvas))));
    const palette = shared(picture.colours, samples, quantize), none = palette.length, painter = new Painter(palette), file = GIFEncoder();
    let before = null;
    for (const [i, { at, seconds }] of frames.entries()) {
      await step(i / frames.length);
      const painted = painter.paint(pixelsOf(picture.draw(at, size, canvas)), before, none);
      file.writeFrame(painted.changed, canvas.width, canvas.height, { palette: i ? null : [...palette, [0, 0, 0]], delay: seconds * 1000, transparent: i > 0, transparentIndex: none, dispose: 1 });
      before = painted;
    }
    file.finish();
    return new Blob([file.bytes()], { type: "image/gif" });
  }

  /** As long as the run is: browsers record in real time. */
  async function video(picture, frames, step) {
    const type = VIDEO.find((one) => window.MediaRecorder?.isTypeSupported(one)), canvas = document.createElement("canvas");
    if (!type || !canvas.captureStream) throw new Error("this browser records no video");
    picture.draw(frames[0].at, BIG, canvas);
    const recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: type, videoBitsPerSecond: 6e6 }), parts = [];
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    const ended = new Promise((done) => recorder.addEventListener("stop", done));
    recorder.start();
    try {
      for (const [i, { at, seconds }] of frames.entries()) {
        const until = performance.now() + seconds * 1000;
        do { // again and again: a canvas that stands still gives no frames
          await step(i / frames.length);
          picture.draw(at, BIG, canvas);
          await new Promise((done) => setTimeout(done, Math.min(100, Math.max(0, until - performance.now()))));
        } while (performance.now() < until);
      }
    } finally {
      recorder.stop();
      await ended;
    }
    return new Blob(parts, { type: type.split(";")[0] });
  }

  async function png(picture, at) {
    const canvas = picture.draw(at, BIG);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  const svg = async (picture, at) => new Blob([picture.svg(at)], { type: "image/svg+xml" });
  return { plan, room, gif, video, png, svg };
})();
