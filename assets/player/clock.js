/* The visitor's clock: play, pause, speed; in the run's own seconds or in even steps. It tells `show` which frame is due. */

const EVEN = 0.11; // seconds a frame takes in even steps at speed 1, at least
const SLOW = 0.4; // and at most, where there are few of them: a step on a whole canvas wants to be read
const LASTS = 5; // seconds that even steps aim at in all
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const EARLY = 0.008; // seconds of the visitor's time by which a frame may come early: screens tick a little before and after their time

class Clock {
  /** times(): seconds of every frame, as an array that the caller keeps; show(index); ended(). */
  constructor({ times, show, changed, ended }) {
    Object.assign(this, { times, show, changed, ended, speed: 1, even: false, gap: EVEN, playing: false, at: 0, index: 0, handle: 0 });
  }

  /** Seconds, on this clock, at which frame k is due. */
  due(k) {
    const times = this.times();
    const real = times[times.length - 1] > 0 && !this.even;
    return real ? times[k] : k * this.gap;
  }

  /** Frames a second, on the whole. */
  get rate() {
    const end = this.times().length - 1;
    return (end * this.speed) / Math.max(1e-3, this.due(end));
  }

  /** The newest frame that is due at `seconds`, the one in view at least: time runs forward. */
  frameAt(seconds) {
    const last = this.times().length - 1;
    let k = Math.min(this.index, last);
    while (k < last && this.due(k + 1) <= seconds + 1e-9) k++;
    return k;
  }

  /** Stand at frame k. */
  set(k) {
    this.index = k;
    this.at = this.times().length ? this.due(k) : 0;
  }

  play() {
    if (this.playing || !this.times().length) return;
    if (this.index >= this.times().length - 1) (this.set(0), this.show(0));
    this.playing = true;
    this.last = performance.now();
    this.handle = requestAnimationFrame((now) => this.tick(now));
    this.changed();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    cancelAnimationFrame(this.handle);
    this.changed();
  }

  tick(now) {
    if (!this.playing) return;
    const end = this.times().length - 1;
    this.at = Math.min(this.at + (Math.max(0, now - this.last) / 1000) * this.speed, this.due(end));
    this.last = now;
    const k = this.frameAt(this.at + EARLY * this.speed);
    if (k !== this.index) {
      this.index = k;
      this.show(k);
    }
    if (k >= end && this.at >= this.due(end)) {
      this.pause();
      this.ended();
    } else this.handle = requestAnimationFrame((next) => this.tick(next));
  }

  setEven(even) {
    this.even = even;
    this.set(this.index);
  }
}
