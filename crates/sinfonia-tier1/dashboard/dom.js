// Elements and words.

const SVG = 'http://www.w3.org/2000/svg';

/** The element of this id. */
export const at = (id) => document.getElementById(id);

/** Makes an element: attributes by name, listeners as functions named `on…`; children are nodes or text, never markup. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null).map((child) => (typeof child === 'string' ? plain(child) : child)));
  return made;
}

/** What is not seen, and turns round or hides what stands beside it. Joiners stay, emoji and whole scripts need them; so do marks of direction. */
const UNSEEN = /[\u00ad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** A text of others in which nothing hides: cloudlets may be called whatever their operators like. */
export const plain = (text) => text.replaceAll(UNSEEN, '\ufffd');

/** Writes a text where it is another one than before, so that nothing is laid out or read out in vain. */
export function write(node, text) {
  const shown = plain(text);
  if (node.textContent !== shown) node.textContent = shown;
}

const COUNT = new Intl.NumberFormat('en');
const RATE = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });

/** 10,000 */
export const count = (number) => COUNT.format(number);

/** 12.35 */
export const decimal = (number) => RATE.format(number);

/** 1 cloudlet, 2 cloudlets */
export const many = (number, noun) => `${count(number)} ${noun}${number === 1 ? '' : 's'}`;

/** 42 %, or a dash for what is not known. */
export const percent = (ratio) => (ratio == null ? '–' : `${Math.round(ratio * 100)} %`);

/** How long ago, in the largest unit that says something. */
export function ago(seconds) {
  if (seconds < 1.5) return 'just now';
  if (seconds < 120) return `${Math.round(seconds)} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
}

/** 40.4439° N, 79.9444° W */
export function degrees(latitude, longitude) {
  const one = (value, positive, negative) => `${Math.abs(value).toFixed(2)}° ${value < 0 ? negative : positive}`;
  return `${one(latitude, 'N', 'S')}, ${one(longitude, 'E', 'W')}`;
}
