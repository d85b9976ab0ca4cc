// Puts the parts together: what is heard goes to the map, the list and the words, what is chosen in one of them to the others.

import { Detail } from './detail.js';
import { at, count, element, many, write } from './dom.js';
import { Feed, token } from './feed.js';
import { Fleet } from './fleet.js';
import { CloudletMap } from './map.js';
import { Question } from './question.js';
import { STATES, picture } from './states.js';
import { Table } from './table.js';

/** Milliseconds between two announcements to those who listen to the page. */
const ANNOUNCEMENTS = 10000;

const fleet = new Fleet();
const hidden = new Set();
const detail = new Detail();
const table = new Table(fleet, choose);
const question = new Question({ answered, chosen: chooseUuid, picking });
const map = new CloudletMap(at('map'), { chosen: choose, picked });
const feed = new Feed(heard, connected);
const chips = STATES.map(chip);

let chosen = null;
let answer = null;
let announced = '';
let announcing = 0;

at('states').append(...chips.map(({ node }) => node));
at('zoom-in').addEventListener('click', () => map.zoom(1.6));
at('zoom-out').addEventListener('click', () => map.zoom(1 / 1.6));
at('zoom-all').addEventListener('click', () => map.showAll());
at('token').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = at('token-text').value.trim();
  // A header holds no others.
  if (/[^\x21-\x7e]/.test(text)) {
    write(at('token-why'), 'A token has ASCII letters, digits and signs alone: was more than the token copied?');
    return;
  }
  token.set(text);
  at('token-text').value = '';
  feed.start();
});
at('forget').addEventListener('click', () => {
  token.forget();
  location.reload();
});
setInterval(() => table.tick(), 1000);
feed.start();

/** Takes in what Tier 1 tells. */
function heard(update) {
  const isOther = fleet.take(update);
  show(at('content'), true);
  if (isOther) {
    map.setCloudlets(fleet.cloudlets.values());
    answered(answer);
  } else {
    map.renew();
  }
  table.changed(isOther);
  const counts = fleet.counts();
  chips.forEach(({ number }, state) => write(number, count(counts[state])));
  announce(counts);
  tellOfOthers();
  const isTold = chosen && (isOther || update.read?.some(([id]) => id === chosen.id));
  if (isTold) choose(fleet.byUuid.get(chosen.uuid) ?? null);
}

/** Says which cloudlets the map cannot show. */
function tellOfOthers() {
  const shown = fleet.cloudlets.size;
  let placeless = 0;
  for (const { places } of fleet.cloudlets.values()) placeless += places.length === 0;
  const words = [
    placeless && `${many(placeless, 'cloudlet')} without a known place ${placeless === 1 ? 'is' : 'are'} in the list alone.`,
    fleet.total > shown && `${count(shown)} of ${count(fleet.total)} are shown.`,
  ];
  write(at('placeless'), words.filter(Boolean).join(' '));
}

function connected(how, failure) {
  const words = { connecting: 'Connecting', live: 'Live', lost: 'Connection lost, trying again', unseen: 'Paused', refused: 'Token needed' };
  at('link').dataset.is = how;
  write(at('link-words'), words[how]);
  show(at('forget'), Boolean(token.get()) && how === 'live');
  show(at('token'), how === 'refused');
  if (how === 'live') question.suggest();
  if (how === 'lost' && failure?.status) write(at('link-words'), `${failure.message}, trying again`);
  if (how !== 'refused') return;
  show(at('content'), false);
  write(at('token-why'), token.get() ? 'This token is not one of an operator.' : `What Tier 1 knows of cloudlets is not for everyone: ${failure.message}.`);
  token.forget();
  at('token-text').focus();
}

/** Says what has become of the states, not more often than one can listen to. */
function announce(counts) {
  const words = STATES.map(({ name }, state) => counts[state] && `${count(counts[state])} ${name.toLowerCase()}`);
  const text = `${many(fleet.cloudlets.size, 'cloudlet')}: ${words.filter(Boolean).join(', ') || 'none'}`;
  if (text === announced) return;
  announced = text;
  if (announcing) return;
  write(at('announcer'), text);
  announcing = setTimeout(() => {
    announcing = 0;
    write(at('announcer'), announced);
  }, ANNOUNCEMENTS);
}

/** A button that shows and hides the cloudlets of a state, with their number. */
function chip({ name, says }, state) {
  const number = element('span', { class: 'number' }, '0');
  const toggle = () => {
    if (!hidden.delete(state)) hidden.add(state);
    node.setAttribute('aria-pressed', !hidden.has(state));
    map.setHidden(hidden);
    table.setHidden(hidden);
  };
  const node = element('button', { type: 'button', class: 'chip', title: says, 'aria-pressed': 'true', onclick: toggle }, picture(state, 0.4), number, name);
  return { node, number };
}

function choose(cloudlet) {
  const isOther = cloudlet?.uuid !== chosen?.uuid;
  chosen = cloudlet;
  map.choose(cloudlet);
  table.setChosen(cloudlet);
  detail.choose(cloudlet);
  if (!isOther || !cloudlet) return;
  write(at('announcer'), `${cloudlet.name} is shown: ${STATES[cloudlet.state].name}`);
  at('detail').scrollIntoView({ block: 'nearest' });
}

function chooseUuid(uuid) {
  const cloudlet = fleet.byUuid.get(uuid);
  if (cloudlet) choose(cloudlet);
}

function picking(isPicking) {
  show(at('map-hint'), isPicking);
  map.setPicking(isPicking);
  if (isPicking) at('map').focus();
}

function picked(place) {
  question.picked(place);
}

/** Shows an answer on the map, among the cloudlets that there are now: after a new connection they are other objects. */
function answered(latest) {
  answer = latest;
  const ranked = answer?.candidates.map(({ cloudlet }) => fleet.byUuid.get(cloudlet.uuid));
  map.setAnswer(answer && { client: answer.client.location, ranked: ranked.filter(Boolean) });
}

function show(node, isShown) {
  node.hidden = !isShown;
}
