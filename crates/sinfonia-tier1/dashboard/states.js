// The states of a cloudlet. Each has a shape of its own, so that nobody needs to tell colours apart.

import { drawing } from './dom.js';

const CIRCLE = 'M6 0A6 6 0 1 1-6 0A6 6 0 1 1 6 0Z';
const TRIANGLE = 'M0-6.6L7 5.6H-7Z';
const CROSS = 'M-6-3.2L-3.2-6L0-2.8L3.2-6L6-3.2L2.8 0L6 3.2L3.2 6L0 2.8L-3.2 6L-6 3.2L-2.8 0Z';
const SQUARE = 'M-5.6-5.6H5.6V5.6H-5.6Z';
const LOWER_HALF = 'M-5.6 0H5.6V5.6H-5.6Z';
const DIAMOND = 'M0-6.4L6.4 0L0 6.4L-6.4 0Z';

/** By the number that the events tell. `rank` says which is drawn over which, and comes first in the list. */
export const STATES = [
  { key: 'fresh', name: 'Fresh', says: 'reported within 45 s', rank: 5, outline: CIRCLE },
  { key: 'overloaded', name: 'Overloaded', says: 'a measurement is above its threshold', rank: 1, outline: TRIANGLE, fill: TRIANGLE },
  { key: 'circuit-open', name: 'Circuit open', says: 'requests fail, or it asked for a pause', rank: 0, outline: CROSS, fill: CROSS },
  { key: 'draining', name: 'Draining', says: 'takes no new deployments', rank: 2, outline: SQUARE, fill: LOWER_HALF },
  { key: 'silent', name: 'Silent', says: 'no report for more than 45 s', rank: 3, outline: CIRCLE, dashes: [2.6, 2.1] },
  { key: 'never-reported', name: 'Never reported', says: 'known from the file alone', rank: 4, outline: DIAMOND },
];

/** Steps in which the disc inside a fresh one grows with its load. */
export const LOAD_STEPS = 8;

/** The radius of the disc that shows a load of 0 to 1 by its area. */
export const discRadius = (load) => 4.7 * Math.sqrt(Math.min(Math.max(load, 0.02), 1));

/** The mark of a state, and of a load where there is one, as a picture without words. */
export function picture(state, load) {
  const { key, outline, fill, dashes } = STATES[state];
  const isFresh = key === 'fresh' && load != null;
  return drawing(
    'svg',
    { viewBox: '-8 -8 16 16', class: `mark ${key}`, 'aria-hidden': 'true', focusable: 'false' },
    drawing('path', { d: outline, class: 'outline', 'stroke-dasharray': dashes?.join(' ') }),
    fill && drawing('path', { d: fill, class: 'fill' }),
    isFresh ? drawing('circle', { r: discRadius(load), class: 'fill' }) : null,
  );
}
