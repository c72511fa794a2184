/* The visitor's clock: play, pause, speed; in the run's own seconds or in even steps. It tells `show` which frame is due.
   The loop and the menu of speeds under it serve the stage of a race, too. */

const EVEN = 0.11; // seconds a frame takes in even steps at speed 1, at least
const SLOW = 0.4; // and at most, where there are few of them: a step on a whole canvas wants to be read
const LASTS = 5; // seconds that even steps aim at in all
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
const EARLY = 0.008; // seconds of the visitor's time by which a frame may come early: screens tick a little before and after their time

/** Fill a menu with the speeds there are. */
function fillSpeeds(select, chosen) {
  for (const speed of SPEEDS) {
    const option = document.createElement("option");
    option.textContent = ({ 0.25: "\u00bc", 0.5: "\u00bd" }[speed] || String(speed)) + "\u00d7";
    option.value = speed;
    select.append(option);
  }
  select.value = chosen;
}

/** Calls step(seconds since the last call) whenever the screen is drawn, from start() to stop(). */
class Ticker {
  constructor(step) {
    Object.assign(this, { step, playing: false, handle: 0, last: 0 });
  }

  start() {
    this.playing = true;
    this.last = performance.now();
    this.handle = requestAnimationFrame((now) => this.tick(now));
  }

  stop() {
    this.playing = false;
    cancelAnimationFrame(this.handle);
  }

  tick(now) {
    if (!this.playing) return;
    const passed = Math.max(0, now - this.last) / 1000;
    this.last = now;
    this.step(passed);
    if (this.playing) this.handle = requestAnimationFrame((next) => this.tick(next));
  }
}

class Clock {
  /** times(): seconds of every frame, as an array that the caller keeps; show(index); ended(). */
  constructor({ times, show, changed, ended }) {
    Object.assign(this, { times, show, changed, ended, speed: 1, even: false, gap: EVEN, at: 0, index: 0 });
    this.ticker = new Ticker((seconds) => this.pass(seconds));
  }

  get playing() {
    return this.ticker.playing;
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
    this.ticker.start();
    this.changed();
  }

  pause() {
    if (!this.playing) return;
    this.ticker.stop();
    this.changed();
  }

  pass(seconds) {
    const end = this.times().length - 1;
    this.at = Math.min(this.at + seconds * this.speed, this.due(end));
    const k = this.frameAt(this.at + EARLY * this.speed);
    if (k !== this.index) {
      this.index = k;
      this.show(k);
    }
    if (k >= end && this.at >= this.due(end)) {
      this.pause();
      this.ended();
    }
  }

  setEven(even) {
    this.even = even;
    this.set(this.index);
  }
}
