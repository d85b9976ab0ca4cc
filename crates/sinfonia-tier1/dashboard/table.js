// The list: all that the map shows, page by page.

import { ago, at, count, element, many, percent, write } from './dom.js';
import { STATES, picture } from './states.js';

/** Cloudlets on a page. */
const LENGTH = 25;

const byNumber = (value) => (a, b) => (value(a) ?? -Infinity) - (value(b) ?? -Infinity) || 0;
const COLLATOR = new Intl.Collator('en', { numeric: true });

/** Columns: what they are called, how they are ordered first, and what stands in them. */
const COLUMNS = [
  { key: 'name', name: 'Cloudlet', compare: byNumber(({ order }) => order) },
  { key: 'state', name: 'State', compare: byNumber(({ state }) => STATES[state].rank) },
  { key: 'cpu', name: 'CPU', isNumber: true, compare: byNumber(({ cpu }) => cpu) },
  { key: 'mem', name: 'Memory', isNumber: true, compare: byNumber(({ mem }) => mem) },
  { key: 'gpu', name: 'GPU', isNumber: true, compare: byNumber(({ gpu }) => gpu) },
  { key: 'placed', name: 'Placed', isNumber: true, compare: byNumber(({ placed }) => placed) },
  { key: 'age', name: 'Reported', isNumber: true, compare: byNumber(({ at: time }) => time) },
];

export class Table {
  #fleet;
  #choose;
  #hidden = new Set();
  #search = '';
  #sort = COLUMNS[0];
  #isReversed = false;
  #page = 0;
  #rows = new Map();
  #chosen = null;
  #found = [];
  #isOld = true;

  /** `choose` gets the cloudlet whose name was clicked. */
  constructor(fleet, choose) {
    this.#fleet = fleet;
    this.#choose = choose;
    at('columns').append(...COLUMNS.map((column) => this.#heading(column)));
    at('search').addEventListener('input', (event) => this.#look(() => (this.#search = event.target.value.trim().toLowerCase())));
    at('before').addEventListener('click', () => this.#turn(-1));
    at('after').addEventListener('click', () => this.#turn(1));
    this.#mark();
  }

  setHidden(states) {
    this.#look(() => (this.#hidden = states));
  }

  setChosen(cloudlet) {
    this.#chosen = cloudlet;
    this.#write();
  }

  /** Takes over what has changed; `isOther` says that cloudlets came, went or were renamed. */
  changed(isOther) {
    if (isOther) this.#order();
    this.#isOld ||= isOther || this.#hidden.size > 0 || this.#sort.key !== 'name';
    this.#write();
  }

  /** Writes how long ago things were. */
  tick() {
    for (const [cloudlet, row] of this.#rows) this.#fill(row, cloudlet);
  }

  #heading(column) {
    const sort = () => {
      this.#isReversed = this.#sort === column ? !this.#isReversed : Boolean(column.isNumber);
      this.#sort = column;
      this.#mark();
      this.#look(() => {});
    };
    const button = element('button', { type: 'button', onclick: sort }, column.name, element('span', { class: 'arrow', 'aria-hidden': 'true' }));
    column.heading = element('th', { scope: 'col', class: column.isNumber ? 'number' : null }, button);
    return column.heading;
  }

  #mark() {
    for (const { heading } of COLUMNS) heading.removeAttribute('aria-sort');
    this.#sort.heading.setAttribute('aria-sort', this.#isReversed ? 'descending' : 'ascending');
  }

  #look(change) {
    change();
    this.#page = 0;
    this.#isOld = true;
    this.#write();
  }

  /** Gives each cloudlet its place by name: to compare the names of thousands takes too long to be done each second. */
  #order() {
    const all = [...this.#fleet.cloudlets.values()];
    all.sort((a, b) => COLLATOR.compare(a.name, b.name) || a.id - b.id);
    all.forEach((cloudlet, order) => Object.assign(cloudlet, { order }));
  }

  #turn(pages) {
    this.#page += pages;
    this.#write();
  }

  #find() {
    const isWanted = ({ state, name }) => !this.#hidden.has(state) && (!this.#search || name.toLowerCase().includes(this.#search));
    const sign = this.#isReversed ? -1 : 1;
    const { compare } = this.#sort;
    this.#found = [...this.#fleet.cloudlets.values()].filter(isWanted);
    this.#found.sort((a, b) => sign * compare(a, b) || a.order - b.order);
    this.#isOld = false;
  }

  #write() {
    if (this.#isOld) this.#find();
    const length = this.#found.length;
    this.#page = Math.max(0, Math.min(this.#page, Math.ceil(length / LENGTH) - 1));
    const first = this.#page * LENGTH;
    const shown = this.#found.slice(first, first + LENGTH);
    const before = this.#rows;
    this.#rows = new Map(shown.map((cloudlet) => [cloudlet, before.get(cloudlet) ?? this.#row(cloudlet)]));
    for (const [cloudlet, row] of this.#rows) this.#fill(row, cloudlet);
    place(at('rows'), [...this.#rows.values()].map(({ node }) => node));
    write(at('page'), length ? `${count(first + 1)}–${count(first + shown.length)} of ${many(length, 'cloudlet')}` : 'No cloudlets');
    at('before').disabled = first === 0;
    at('after').disabled = first + LENGTH >= length;
  }

  #row(cloudlet) {
    const name = element('button', { type: 'button', class: 'link-like', onclick: () => this.#choose(cloudlet) });
    const cells = Object.fromEntries(COLUMNS.slice(1).map(({ key, isNumber }) => [key, element('td', { class: isNumber ? 'number' : null })]));
    const node = element('tr', {}, element('th', { scope: 'row' }, name), ...Object.values(cells));
    return { node, name, cells };
  }

  #fill({ node, name, cells }, cloudlet) {
    const { state, cpu, mem, gpu, placed, load } = cloudlet;
    write(name, cloudlet.name);
    // What makes the mark.
    const look = `${state} ${load}`;
    if (node.dataset.look !== look) {
      node.dataset.look = look;
      cells.state.replaceChildren(picture(state, load), STATES[state].name);
    }
    write(cells.cpu, percent(cpu));
    write(cells.mem, percent(mem));
    write(cells.gpu, percent(gpu));
    write(cells.placed, count(placed));
    const age = this.#fleet.age(cloudlet);
    write(cells.age, age == null ? 'never' : ago(age));
    node.classList.toggle('chosen', cloudlet === this.#chosen);
  }
}

/** Makes these the children, in this order, and moves none in vain: what has the focus would lose it. */
function place(parent, nodes) {
  const focused = document.activeElement;
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
  while (parent.children.length > nodes.length) parent.lastChild.remove();
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}
