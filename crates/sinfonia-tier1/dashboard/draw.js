// What drawing the map is made of.

import { plain } from './dom.js';
import { worldX, worldY } from './view.js';

/** Left, top, right and bottom of all marks; all of the world where there are none. */
export function bounds(marks) {
  if (!marks.length) return undefined;
  const box = [1, 1, 0, 0];
  for (const { x, y } of marks) {
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}

/** Land and borders of a TopoJSON file, in a world of 1 × 1. Each arc is a first point and differences, on a grid that `transform` places. */
export function paths({ arcs, objects, transform }) {
  const { scale, translate } = transform;
  const lines = arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([dx, dy]) => {
      x += dx;
      y += dy;
      return [worldX(x * scale[0] + translate[0]), worldY(y * scale[1] + translate[1])];
    });
  });
  const add = (path, indices) => {
    let isFirst = true;
    for (const index of indices) {
      const arc = index < 0 ? [...lines[~index]].reverse() : lines[index];
      for (const [x, y] of arc) {
        if (isFirst) path.moveTo(x, y);
        else path.lineTo(x, y);
        isFirst = false;
      }
    }
  };
  const [land, borders] = [new Path2D(), new Path2D()];
  for (const polygon of objects.land.arcs) {
    for (const indices of polygon) {
      add(land, indices);
      land.closePath();
    }
  }
  for (const indices of objects.borders.arcs) add(borders, indices);
  return { land, borders };
}

/** Adds a line from a point to another one relative to it. */
export function line(context, x, y, dx, dy) {
  context.moveTo(x, y);
  context.lineTo(x + dx, y + dy);
}

/** Draws a circle. */
export function ring(context, x, y, radius, width, colour) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}

/** Whether two boxes, each left, top, right and bottom, have something in common. */
export const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** A name that is not too long for a map. */
export const shortened = (name) => plain(name.length > 28 ? `${name.slice(0, 27)}…` : name);
