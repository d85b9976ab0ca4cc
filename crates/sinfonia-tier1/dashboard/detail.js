// One cloudlet, with all that is known of it.

import { ago, at, count, decimal, degrees, element, percent, write } from './dom.js';
import { Refusal, askJson } from './feed.js';
import { STATES, picture } from './states.js';

const RATIOS = { cpu_ratio: 'Processor', mem_ratio: 'Memory', gpu_ratio: 'GPU' };
/** Most networks and recipes that are listed. */
const MOST = 12;

export class Detail {
  #cloudlet = null;
  #asking = null;

  /** Shows a cloudlet as it is now, or none. What somebody is about to copy stays. */
  choose(cloudlet) {
    const isSame = cloudlet != null && cloudlet === this.#cloudlet;
    const selection = getSelection();
    if (isSame && !selection.isCollapsed && at('detail').contains(selection.anchorNode)) return;
    this.#cloudlet = cloudlet;
    if (cloudlet) {
      this.#refresh();
    } else {
      this.#show('One cloudlet', element('p', { class: 'quiet' }, 'Choose one on the map or in the list.'));
    }
  }

  async #refresh() {
    const cloudlet = this.#cloudlet;
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const told = await askJson(`dashboard/cloudlets/${cloudlet.uuid}`, { signal: asking.signal });
      if (this.#cloudlet === cloudlet) this.#show(cloudlet.name, ...parts(told));
    } catch (error) {
      if (asking.signal.aborted || this.#cloudlet !== cloudlet) return;
      const words = error instanceof Refusal ? error.message : 'Tier 1 does not answer.';
      this.#show(cloudlet.name, element('p', { class: 'failure' }, words));
    }
  }

  #show(title, ...content) {
    write(at('detail-title'), title);
    at('detail-body').replaceChildren(...content);
  }
}

function parts(told) {
  const state = STATES.findIndex(({ key }) => key === told.state);
  const resources = { ...told.resources };
  const meters = Object.entries(RATIOS).filter(([name]) => name in resources);
  const load = meters.length ? Math.max(...meters.map(([name]) => resources[name])) : null;
  const bars = meters.map(([name, title]) => meter(title, resources[name]));
  for (const [name] of meters) delete resources[name];
  const said = STATES[state];
  return [
    element('p', { class: 'state-line' }, picture(state, load), element('strong', {}, said.name), ` – ${said.says}`),
    bars.length ? element('div', { class: 'meters' }, ...bars) : null,
    element('dl', {}, ...facts(told, resources)),
  ].filter(Boolean);
}

function facts(told, resources) {
  const { last_update: last, now, locations, placed, placed_since_report: since, labels } = told;
  const list = (values) => values && shortList(values);
  return [
    fact('Reported', last ? ago((now - Date.parse(last)) / 1000) : 'never'),
    fact('Placed here', since ? `${count(placed)}, ${count(since)} since its report` : count(placed)),
    fact('Where', locations?.map(([latitude, longitude]) => degrees(latitude, longitude)).join('; ') ?? 'not known'),
    fact('Known from', told.origin),
    fact('Endpoint', told.endpoint),
    fact('UUID', told.uuid),
    ...Object.entries(resources).map(([name, value]) => fact(name, decimal(value))),
    labels && fact('Labels', Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(', ')),
    fact('Local networks', list(told.local_networks)),
    fact('Accepts', list(told.accepted_clients)),
    fact('Rejects', list(told.rejected_clients)),
    fact('Recipes', list(told.recipes)),
  ].flatMap((pair) => pair ?? []);
}

function fact(name, value) {
  return value ? [element('dt', {}, name), element('dd', {}, value)] : null;
}

function shortList(values) {
  const shown = values.slice(0, MOST).join(', ');
  return values.length > MOST ? `${shown} and ${count(values.length - MOST)} more` : shown;
}

function meter(title, ratio) {
  const bar = element('span', { class: 'bar' });
  bar.style.setProperty('--part', Math.min(Math.max(ratio, 0), 1));
  return element('div', { class: 'meter' }, element('span', {}, title), element('span', { class: 'value' }, percent(ratio)), bar);
}
