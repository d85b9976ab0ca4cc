// The map: land, borders, a mark for each place of each cloudlet, and what was asked about.

import { many } from './dom.js';
import { bounds, line, overlap, paths, ring, shortened } from './draw.js';
import { Grid } from './grid.js';
import { LOAD_STEPS, STATES, discRadius } from './states.js';
import { View, latitudeOf, longitudeOf, worldX, worldY } from './view.js';

/** Pixels from a mark at which a pointer still means it. */
const REACH = 14;
/** Pixels that a pointer may move while it clicks. */
const STEADY = 5;
/** Pixels by which an arrow key moves the map. */
const STEP = 60;
/** Most marks that are labelled with their names. */
const MOST_LABELS = 40;
/** Side of the squares in each of which one mark is drawn, the most urgent: more would hide each other. */
const SQUARE = 4;
/** Half a mark, in pixels, its surroundings included. */
const HALF = 10;
/** Of more marks each is drawn smaller, by so much: all can be told apart, and be drawn quickly. */
const CROWD = 1500;
const CROWDED = 0.6;
/** Pixels that are drawn beyond each side of the window. */
const MARGIN = 160;
/** How many of those ranked first are joined with the client. */
const MOST_LINES = 3;

export class CloudletMap {
  #canvas;
  #context;
  /** What changes seldom, drawn somewhat beyond the window, so that moving the map copies it and draws little. */
  #scene = { canvas: document.createElement('canvas'), view: new View(), drawn: [] };
  #events;
  #view = new View();
  #land = null;
  #borders = null;
  #grid = new Grid();
  #hidden = new Set();
  #chosen = null;
  #hovered = null;
  #answer = null;
  #picking = false;
  #pointers = new Map();
  #wanderings = 0;
  #sprites = new Map();
  #colours = {};
  #frame = 0;
  #isSceneOld = true;
  #isPlaced = false;

  /** `chosen` gets the cloudlet that was clicked, `picked` latitude and longitude of a point that was to be chosen, or null for none. */
  constructor(canvas, events) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    this.#events = events;
    this.#listen();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#dress());
    this.#dress();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#load();
  }

  /** Takes over which cloudlets there are and where. */
  setCloudlets(cloudlets) {
    const marks = [];
    for (const cloudlet of cloudlets) {
      const { places } = cloudlet;
      for (let i = 0; i < places.length; i += 2) marks.push({ x: worldX(places[i + 1]), y: worldY(places[i]), cloudlet });
    }
    this.#grid = new Grid(marks);
    this.#hovered = null;
    if (!this.#isPlaced && marks.length && this.#view.width > 1) this.showAll();
    this.#canvas.setAttribute('aria-label', `Map of the cloudlets, ${many(marks.length, 'mark')}`);
    this.renew();
  }

  setHidden(states) {
    this.#hidden = states;
    this.renew();
  }

  /** Marks a cloudlet. Where it is another one than before, shows one of its places if all are out of sight. */
  choose(cloudlet) {
    const isOther = cloudlet?.uuid !== this.#chosen?.uuid;
    this.#chosen = cloudlet;
    const marks = [...this.#marksOf(cloudlet)];
    const [mark] = marks;
    if (isOther && mark && !marks.some((mark) => this.#isSeen(mark))) this.#moved(() => this.#view.moveTo(mark.x, mark.y));
    this.draw();
  }

  /** Shows a client, as [latitude, longitude] or null, and the cloudlets in the order in which they would get it. */
  setAnswer(answer) {
    this.#answer = answer && { ...answer, client: answer.client && { x: worldX(answer.client[1]), y: worldY(answer.client[0]) } };
    this.renew();
  }

  /** Lets the next click or Enter choose a point instead of a cloudlet. */
  setPicking(isPicking) {
    this.#picking = isPicking;
    this.#canvas.classList.toggle('picking', isPicking);
    this.draw();
  }

  zoom(factor) {
    this.#moved(() => this.#view.zoom(factor));
  }

  showAll() {
    const { marks } = this.#grid;
    this.#isPlaced = marks.length > 0;
    this.#moved(() => this.#view.show(bounds(marks)));
  }

  /** Draws all of it with the next frame, because what is known of the cloudlets changed. */
  renew() {
    this.#isSceneOld = true;
    this.draw();
  }

  /** Draws with the next frame. */
  draw() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  async #load() {
    const answer = await fetch('dashboard/map.json');
    const { land, borders } = paths(await answer.json());
    [this.#land, this.#borders] = [land, borders];
    this.renew();
  }

  #dress() {
    const style = getComputedStyle(document.documentElement);
    const names = ['sea', 'land', 'border', 'graticule', 'surface', 'ink', 'accent', ...STATES.map(({ key }) => key)];
    this.#colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.#sprites.clear();
    this.renew();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth || !clientHeight) return;
    const sides = [clientWidth, clientHeight];
    [this.#canvas.width, this.#canvas.height] = sides.map((side) => Math.round(side * devicePixelRatio));
    const { canvas } = this.#scene;
    [canvas.width, canvas.height] = sides.map((side) => Math.round((side + 2 * MARGIN) * devicePixelRatio));
    this.#view.resize(clientWidth, clientHeight);
    this.#sprites.clear();
    this.renew();
    if (!this.#isPlaced) this.showAll();
  }

  #moved(move) {
    move();
    this.draw();
  }

  // What people do.

  #listen() {
    const canvas = this.#canvas;
    const on = (name, listener, options) => canvas.addEventListener(name, listener, options);
    on('pointerdown', (event) => this.#press(event));
    on('pointermove', (event) => this.#drag(event));
    on('pointerup', (event) => this.#release(event));
    on('pointercancel', (event) => this.#pointers.delete(event.pointerId));
    on('pointerleave', () => this.#hover(null));
    on('wheel', (event) => this.#wheel(event), { passive: false });
    on('keydown', (event) => this.#key(event));
    on('focus', () => this.draw());
    on('blur', () => this.draw());
  }

  #press(event) {
    if (event.button !== 0) return;
    // A pointer of a program's making cannot be captured, and need not be.
    if (event.isTrusted) this.#canvas.setPointerCapture(event.pointerId);
    if (!this.#pointers.size) this.#wanderings = 0;
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    const now = { x: event.offsetX, y: event.offsetY };
    if (!before) {
      this.#hover(this.#markAt(now.x, now.y));
      return;
    }
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, other]) => other);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    this.#wanderings += Math.hypot(dx, dy);
    this.#pointers.set(event.pointerId, now);
    if (others.length) {
      const [other] = others;
      const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      this.#moved(() => {
        this.#view.zoom(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
        this.#view.pan(dx / 2, dy / 2);
      });
    } else if (this.#wanderings > STEADY) {
      this.#moved(() => this.#view.pan(dx, dy));
    }
  }

  #release(event) {
    const isClick = this.#pointers.size === 1 && this.#wanderings <= STEADY;
    if (this.#pointers.delete(event.pointerId) && isClick) this.#click(event.offsetX, event.offsetY);
    this.draw();
  }

  #click(x, y, reach = REACH) {
    if (this.#picking) {
      this.#events.picked([latitudeOf(this.#view.worldY(y)), longitudeOf(this.#view.worldX(x))]);
      return;
    }
    const mark = this.#markAt(x, y, reach);
    if (mark) this.#events.chosen(mark.cloudlet);
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 30 : event.deltaY;
    this.#moved(() => this.#view.zoom(Math.exp(-pixels * 0.002), event.offsetX, event.offsetY));
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { width, height } = this.#view;
    const pan = (dx, dy) => () => this.#moved(() => this.#view.pan(dx, dy));
    const actions = {
      ArrowLeft: pan(STEP, 0),
      ArrowRight: pan(-STEP, 0),
      ArrowUp: pan(0, STEP),
      ArrowDown: pan(0, -STEP),
      '+': () => this.zoom(1.5),
      '=': () => this.zoom(1.5),
      '-': () => this.zoom(1 / 1.5),
      0: () => this.showAll(),
      Enter: () => this.#click(width / 2, height / 2, Math.max(width, height)),
      Escape: () => this.#picking && this.#events.picked(null),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  #hover(mark) {
    if (mark === this.#hovered) return;
    this.#hovered = mark;
    this.#canvas.classList.toggle('over-mark', mark != null);
    this.draw();
  }

  #markAt(x, y, reach = REACH) {
    const view = this.#view;
    const isWanted = ({ cloudlet }) => !this.#hidden.has(cloudlet.state);
    return this.#grid.nearest(view.worldX(x), view.worldY(y), reach / view.scale, isWanted);
  }

  #marksOf(cloudlet) {
    return cloudlet ? this.#grid.marks.filter((mark) => mark.cloudlet === cloudlet) : [];
  }

  #isSeen({ x, y }) {
    const [left, top] = [this.#view.screenX(x), this.#view.screenY(y)];
    return left > 0 && top > 0 && left < this.#view.width && top < this.#view.height;
  }

  // Drawing.

  #paint() {
    this.#frame = 0;
    if (this.#view.width <= 1) return;
    if (this.#needsScene()) this.#paintScene();
    const context = this.#context;
    const { canvas } = this.#scene;
    const [dx, dy] = this.#drift();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(canvas, Math.round((dx - MARGIN) * devicePixelRatio), Math.round((dy - MARGIN) * devicePixelRatio));
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    this.#paintLabels(context);
    this.#paintChosen(context);
    if (this.#picking || document.activeElement === this.#canvas) this.#paintMiddle(context);
  }

  /** Pixels by which the map was moved since the scene was drawn. */
  #drift() {
    const { x, y, scale } = this.#scene.view;
    return [(x - this.#view.x) * scale, (y - this.#view.y) * scale];
  }

  /** Whether the scene does not do any more. What changes of cloudlets can wait while the map is moved. */
  #needsScene() {
    const isFar = this.#drift().some((pixels) => Math.abs(pixels) > MARGIN);
    return isFar || this.#scene.view.scale !== this.#view.scale || (this.#isSceneOld && !this.#pointers.size);
  }

  #paintScene() {
    const { x, y, scale, width, height } = this.#view;
    const view = Object.assign(new View(), { x, y, scale, width: width + 2 * MARGIN, height: height + 2 * MARGIN });
    const drawn = this.#marksToDraw(view);
    Object.assign(this.#scene, { view, drawn });
    this.#isSceneOld = false;
    const context = this.#scene.canvas.getContext('2d');
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    this.#paintLand(context, view);
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    this.#paintLines(context, view);
    const size = drawn.length > CROWD ? CROWDED : 1;
    const half = HALF * size;
    // Whole pixels are copied faster.
    const whole = (value) => Math.round((value - half) * devicePixelRatio) / devicePixelRatio;
    for (const mark of drawn) {
      const sprite = this.#sprite(mark.cloudlet, size);
      context.drawImage(sprite, whole(view.screenX(mark.x)), whole(view.screenY(mark.y)), 2 * half, 2 * half);
    }
  }

  #paintLand(context, view) {
    const { sea, land, border, graticule } = this.#colours;
    context.fillStyle = sea;
    context.fillRect(0, 0, view.width, view.height);
    context.lineWidth = 1;
    context.strokeStyle = graticule;
    context.beginPath();
    for (let longitude = -150; longitude <= 150; longitude += 30) line(context, view.screenX(worldX(longitude)), 0, 0, view.height);
    for (let latitude = -60; latitude <= 60; latitude += 30) line(context, 0, view.screenY(worldY(latitude)), view.width, 0);
    context.stroke();
    if (!this.#land) return;
    context.translate(view.screenX(0), view.screenY(0));
    context.scale(view.scale, view.scale);
    context.fillStyle = land;
    context.fill(this.#land);
    context.lineWidth = 0.8 / view.scale;
    context.strokeStyle = border;
    context.stroke(this.#borders);
  }

  /** The marks to draw, those on top last. */
  #marksToDraw(view) {
    const margin = HALF / view.scale;
    const byRank = STATES.map(() => []);
    const [left, top] = [view.worldX(0) - margin, view.worldY(0) - margin];
    const [right, bottom] = [view.worldX(view.width) + margin, view.worldY(view.height) + margin];
    this.#grid.within(left, top, right, bottom, (mark) => {
      const { x, y, cloudlet } = mark;
      const isSeen = x >= left && x <= right && y >= top && y <= bottom && !this.#hidden.has(cloudlet.state);
      if (isSeen) byRank[STATES[cloudlet.state].rank].push(mark);
    });
    const perPixel = view.scale / SQUARE;
    const columns = Math.ceil((right - left) * perPixel) + 1;
    const taken = new Uint8Array(columns * (Math.ceil((bottom - top) * perPixel) + 1));
    const drawn = byRank.flat().filter(({ x, y }) => {
      const square = Math.floor((y - top) * perPixel) * columns + Math.floor((x - left) * perPixel);
      return taken[square] ? false : (taken[square] = 1);
    });
    return drawn.reverse();
  }

  /** The picture of a cloudlet's mark, drawn once for all that look alike. */
  #sprite({ state, load }, size) {
    const step = load == null || state !== 0 ? 0 : 1 + Math.round(Math.min(Math.max(load, 0), 1) * LOAD_STEPS);
    const key = (size < 1 ? 1 : 0) + 2 * (state * 16 + step);
    let sprite = this.#sprites.get(key);
    if (!sprite) {
      sprite = this.#drawSprite(STATES[state], step ? (step - 1) / LOAD_STEPS : null, size);
      this.#sprites.set(key, sprite);
    }
    return sprite;
  }

  #drawSprite({ key, outline, fill, dashes = [] }, load, size) {
    const sprite = document.createElement('canvas');
    sprite.width = sprite.height = Math.ceil(2 * HALF * size * devicePixelRatio);
    const context = sprite.getContext('2d');
    context.scale(sprite.width / (2 * HALF), sprite.height / (2 * HALF));
    context.translate(HALF, HALF);
    context.lineJoin = 'round';
    const shape = new Path2D(outline);
    context.strokeStyle = this.#colours.surface;
    context.lineWidth = 4;
    context.stroke(shape);
    context.fillStyle = this.#colours.surface;
    context.fill(shape);
    context.fillStyle = context.strokeStyle = this.#colours[key];
    if (fill) context.fill(new Path2D(fill));
    if (load != null) {
      context.beginPath();
      context.arc(0, 0, discRadius(load), 0, 2 * Math.PI);
      context.fill();
    }
    context.setLineDash(dashes);
    context.lineWidth = 1.6;
    context.stroke(shape);
    return sprite;
  }

  #paintLines(context, view) {
    const client = this.#answer?.client;
    if (!client) return;
    const [x, y] = [view.screenX(client.x), view.screenY(client.y)];
    context.strokeStyle = this.#colours.accent;
    this.#answer.ranked.slice(0, MOST_LINES).forEach((cloudlet, place) => {
      const marks = this.#marksOf(cloudlet);
      const distance = (mark) => (mark.x - client.x) ** 2 + (mark.y - client.y) ** 2;
      const [nearest] = marks.sort((a, b) => distance(a) - distance(b));
      if (!nearest) return;
      context.lineWidth = place ? 1.2 : 2.6;
      context.setLineDash(place ? [5, 4] : []);
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(view.screenX(nearest.x), view.screenY(nearest.y));
      context.stroke();
    });
    context.setLineDash([]);
    ring(context, x, y, 6, 3, this.#colours.surface);
    ring(context, x, y, 6, 2, this.#colours.accent);
    context.fillStyle = this.#colours.accent;
    context.beginPath();
    context.arc(x, y, 2.5, 0, 2 * Math.PI);
    context.fill();
  }

  /** Names where there is room for them: of what the pointer is at first, then of the topmost. */
  #paintLabels(context) {
    const view = this.#view;
    const shown = this.#scene.drawn.filter((mark) => this.#isSeen(mark));
    const labelled = shown.length <= MOST_LABELS ? shown.reverse() : [];
    const place = (mark) => ({ mark, x: view.screenX(mark.x), y: view.screenY(mark.y) });
    const boxes = labelled.map(place).map(({ x, y }) => [x - 7, y - 7, x + 7, y + 7]);
    const all = this.#hovered ? [this.#hovered, ...labelled] : labelled;
    context.font = '500 12px system-ui, sans-serif';
    context.textBaseline = 'middle';
    context.lineJoin = 'round';
    for (const { mark, x, y } of all.map(place)) {
      const name = shortened(mark.cloudlet.name);
      const width = context.measureText(name).width;
      const gap = mark.cloudlet === this.#chosen ? 18 : 11;
      const left = x + gap + width > view.width ? x - gap - width : x + gap;
      const box = [left, y - 8, left + width, y + 8];
      const isForced = mark === this.#hovered;
      if (!isForced && boxes.some((other) => overlap(other, box))) continue;
      boxes.push(box);
      context.strokeStyle = this.#colours.surface;
      context.lineWidth = 3.5;
      context.strokeText(name, left, y);
      context.fillStyle = this.#colours.ink;
      context.fillText(name, left, y);
    }
  }

  #paintChosen(context) {
    for (const { x, y } of this.#marksOf(this.#chosen)) {
      const [left, top] = [this.#view.screenX(x), this.#view.screenY(y)];
      ring(context, left, top, 12, 4.5, this.#colours.surface);
      ring(context, left, top, 12, 2.5, this.#colours.accent);
    }
  }

  #paintMiddle(context) {
    const [x, y] = [this.#view.width / 2, this.#view.height / 2];
    for (const [colour, width] of [[this.#colours.surface, 4], [this.#colours.ink, 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) line(context, x + 4 * dx, y + 4 * dy, 9 * dx, 9 * dy);
      context.stroke();
    }
  }
}
