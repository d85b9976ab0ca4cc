// Which part of the world is seen: Mercator's projection, a world of 1 × 1, and a window on it.

/** Beyond it Mercator's map has little to show, and no end. */
const FARTHEST_NORTH = 84;
/** How many times wider than the window the world gets at most. */
const CLOSEST = 64;

export const worldX = (longitude) => (longitude + 180) / 360;

export function worldY(latitude) {
  const bounded = Math.min(Math.max(latitude, -FARTHEST_NORTH), FARTHEST_NORTH);
  return 0.5 - Math.log(Math.tan(Math.PI / 4 + (bounded * Math.PI) / 360)) / (2 * Math.PI);
}

export const longitudeOf = (x) => x * 360 - 180;

export const latitudeOf = (y) => (Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) * 360) / Math.PI - 90;

const TOP = worldY(FARTHEST_NORTH);
const BOTTOM = worldY(-58);

export class View {
  width = 1;
  height = 1;
  /** The middle of the window, and pixels per world. */
  x = 0.5;
  y = (TOP + BOTTOM) / 2;
  scale = 1;

  resize(width, height) {
    const zoom = this.scale / this.#least();
    [this.width, this.height] = [width, height];
    this.scale = this.#least() * zoom;
    this.#bound();
  }

  screenX = (x) => (x - this.x) * this.scale + this.width / 2;
  screenY = (y) => (y - this.y) * this.scale + this.height / 2;
  worldX = (x) => (x - this.width / 2) / this.scale + this.x;
  worldY = (y) => (y - this.height / 2) / this.scale + this.y;

  /** Moves the map by so many pixels. */
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.#bound();
  }

  /** Makes it so many times larger, and keeps what is at this pixel there. */
  zoom(factor, atX = this.width / 2, atY = this.height / 2) {
    const [x, y] = [this.worldX(atX), this.worldY(atY)];
    this.scale = this.#allowed(this.scale * factor, CLOSEST);
    this.x = x - (atX - this.width / 2) / this.scale;
    this.y = y - (atY - this.height / 2) / this.scale;
    this.#bound();
  }

  /** Shows this part of the world with some room around it, or all of it. */
  show([left, top, right, bottom] = [0, TOP, 1, BOTTOM], closest = 8) {
    const room = 0.8;
    const wanted = room * Math.min(this.width / (right - left || 1e-9), this.height / (bottom - top || 1e-9));
    this.scale = this.#allowed(wanted, closest);
    this.x = (left + right) / 2;
    this.y = (top + bottom) / 2;
    this.#bound();
  }

  moveTo(x, y) {
    [this.x, this.y] = [x, y];
    this.#bound();
  }

  /** As small as may be: all of the world is in the window. */
  #least() {
    return Math.min(this.width, this.height / (BOTTOM - TOP));
  }

  #allowed(scale, closest) {
    return Math.min(Math.max(scale, this.#least()), closest * Math.max(this.width, this.height));
  }

  #bound() {
    const [w, h] = [this.width / 2 / this.scale, this.height / 2 / this.scale];
    const within = (value, low, high) => (low > high ? (low + high) / 2 : Math.min(Math.max(value, low), high));
    this.x = within(this.x, w, 1 - w);
    this.y = within(this.y, TOP + h, BOTTOM - h);
  }
}
