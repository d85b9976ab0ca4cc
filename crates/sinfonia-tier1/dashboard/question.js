// "Who would get this client?": what `GET /api/v1/explain` answers.

import { at, count, decimal, element, many, write } from './dom.js';
import { askJson } from './feed.js';
import { STATES, picture } from './states.js';

const HELLOWORLD = '00000000-0000-0000-0000-000000000000';
/** Candidates and exclusions that are asked for. */
const LIMIT = 50;

const MATCHERS = { network: 'in its network', location: 'by distance', random: 'whatever is left' };

export class Question {
  #events;
  #asking = null;

  /** `answered` gets the answer or null, `chosen` the uuid of a cloudlet, `picking` whether a point is to be chosen on the map. */
  constructor(events) {
    this.#events = events;
    at('question').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#ask();
    });
    at('pick').addEventListener('click', () => this.#setPicking(at('pick').getAttribute('aria-pressed') !== 'true'));
  }

  /** Takes over the point that was chosen on the map, and asks about it; null for none. */
  picked(place) {
    this.#setPicking(false);
    if (!place) {
      at('pick').focus();
      return;
    }
    at('place').value = place.map((part) => part.toFixed(3)).join(', ');
    this.#ask();
  }

  /** Suggests the recipes that there are. */
  async suggest() {
    const recipes = await askJson('dashboard/recipes').catch(() => []);
    const option = ({ uuid, description }) => element('option', { value: uuid === HELLOWORLD ? 'helloworld' : uuid }, description ?? '');
    at('recipes').replaceChildren(...recipes.map(option));
  }

  #setPicking(isPicking) {
    at('pick').setAttribute('aria-pressed', isPicking);
    this.#events.picking(isPicking);
  }

  /** Asks, and forgets what was asked before: its answer may come later than that of this. */
  async #ask() {
    this.#asking?.abort();
    const { signal } = (this.#asking = new AbortController());
    const query = new URLSearchParams({ limit: LIMIT });
    const [client, place, recipe] = ['client', 'place', 'recipe'].map((id) => at(id).value.trim());
    if (client) query.set('client', client);
    if (place) query.set('location', place.replaceAll(/\s*[,;\s]\s*/g, ','));
    query.set('uuid', recipe && recipe !== 'helloworld' ? recipe : HELLOWORLD);
    try {
      const answer = await askJson(`api/v1/explain?${query}`, { signal });
      if (!signal.aborted) this.#show(answer);
    } catch (error) {
      if (signal.aborted) return;
      this.#events.answered(null);
      this.#say(error.message, true);
      at('answer').replaceChildren();
    }
  }

  #say(words, isFailure = false) {
    at('answer-words').classList.toggle('failure', isFailure);
    write(at('answer-words'), words);
  }

  #show(answer) {
    const { client, candidates, excluded, excluded_total: left, note } = answer;
    const from = client.location ? `${client.address} at ${client.location.map(decimal).join(', ')}` : `${client.address}, whose place is not known`;
    const first = candidates.length ? `${candidates[0].cloudlet.name} first` : 'nobody';
    this.#say(`${from}: ${first}.`);
    const more = candidates.length === LIMIT ? element('p', { class: 'quiet small' }, `The first ${LIMIT} are shown.`) : '';
    const ranking = candidates.length ? element('ol', { class: 'ranking' }, ...candidates.map((one) => this.#candidate(one))) : '';
    const heading = `${many(left, 'cloudlet')} left out`;
    const exclusions = left
      ? element(
          'details',
          { open: !candidates.length },
          element('summary', {}, heading),
          element('ul', {}, ...excluded.map((one) => this.#exclusion(one))),
          excluded.length < left ? element('p', { class: 'quiet small' }, `The first ${count(excluded.length)} are shown.`) : '',
        )
      : '';
    at('answer').replaceChildren(note ? element('p', { class: 'quiet' }, note) : '', ranking, more, exclusions);
    this.#events.answered(answer);
  }

  #name({ uuid, name }) {
    return element('button', { type: 'button', class: 'link-like', onclick: () => this.#events.chosen(uuid) }, name);
  }

  #candidate({ cloudlet, matcher, distance_km: distance, rtt_ms: rtt, class: kind, parts }) {
    const preferred = (value, isMedian) => `${decimal(value)}${isMedian ? ' (median)' : ''}`;
    const reasons = [
      parts.remembered && 'has it already',
      MATCHERS[matcher] ?? matcher,
      distance != null && `${decimal(distance)} km`,
      rtt != null && `${decimal(rtt)} ms`,
      parts.recipe_prefer != null && `recipe prefers ${preferred(parts.recipe_prefer, parts.recipe_prefer_is_median)}`,
      parts.operator_prefer != null && `operator prefers ${preferred(parts.operator_prefer, parts.operator_prefer_is_median)}`,
    ];
    const state = STATES.findIndex(({ key }) => key === kind);
    const badge = state < 0 ? '' : element('span', { class: 'badge' }, picture(state), STATES[state].name);
    return element('li', {}, this.#name(cloudlet), badge, element('span', { class: 'why' }, reasons.filter(Boolean).join(' · ')));
  }

  #exclusion({ cloudlet, rule, reason }) {
    return element('li', {}, this.#name(cloudlet), element('span', { class: 'why' }, reason ? `It ${reason}` : rule));
  }
}
