// Which marks are where, so that neither drawing a part of the map nor a click looks at all of them.

/** Cells along each side of the world. */
const SIDE = 128;

export class Grid {
  #cells = new Map();

  /** Marks have a place in the world, `x` and `y` from 0 to 1. */
  constructor(marks = []) {
    this.marks = marks;
    for (const mark of marks) {
      const key = cell(mark.x) * SIDE + cell(mark.y);
      const there = this.#cells.get(key);
      if (there) there.push(mark);
      else this.#cells.set(key, [mark]);
    }
  }

  /** Calls back for all marks of a part of the world, and some beside it. */
  within(left, top, right, bottom, each) {
    const [firstX, lastX, firstY, lastY] = [cell(left), cell(right), cell(top), cell(bottom)];
    if ((lastX - firstX + 1) * (lastY - firstY + 1) > this.#cells.size) {
      this.marks.forEach(each);
      return;
    }
    for (let x = firstX; x <= lastX; x += 1) {
      for (let y = firstY; y <= lastY; y += 1) this.#cells.get(x * SIDE + y)?.forEach(each);
    }
  }

  /** The mark nearest to a place of the world, at most so far away, of those that are wanted. */
  nearest(x, y, radius, isWanted) {
    let [found, least] = [null, radius * radius];
    this.within(x - radius, y - radius, x + radius, y + radius, (mark) => {
      const distance = (mark.x - x) ** 2 + (mark.y - y) ** 2;
      if (distance <= least && isWanted(mark)) [found, least] = [mark, distance];
    });
    return found;
  }
}

const cell = (value) => Math.min(Math.max(Math.floor(value * SIDE), 0), SIDE - 1);
