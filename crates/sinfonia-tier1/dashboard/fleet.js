// The cloudlets as the events tell them.

import { STATES } from './states.js';

/**
 * All cloudlets that are shown. Each is {id, uuid, name, places, state, at, cpu, mem, gpu, placed, load}: `places` are latitudes and longitudes
 * in turn, `at` is in seconds, ratios are null where unknown, and `load` is the largest of them.
 */
export class Fleet {
  cloudlets = new Map();
  byUuid = new Map();
  total = 0;
  /** Milliseconds by which the clock of Tier 1 is ahead of this one. */
  #ahead = 0;

  /** Takes an update in, and tells whether cloudlets came, went or moved. */
  take({ now, total, all = false, known = [], read = [], gone = [] }) {
    this.#ahead = now - Date.now();
    this.total = total;
    if (all) {
      this.cloudlets.clear();
      this.byUuid.clear();
    }
    for (const id of gone) this.#remove(id);
    for (const [id, uuid, name, places] of known) {
      const before = this.cloudlets.get(id);
      if (before) this.#forgetUuid(before);
      const cloudlet = Object.assign(before ?? { id }, { uuid, name, places });
      this.cloudlets.set(id, cloudlet);
      this.byUuid.set(uuid, cloudlet);
    }
    for (const [id, state, at, cpu, mem, gpu, placed] of read) {
      const ratios = [cpu, mem, gpu].filter((ratio) => ratio != null);
      const load = ratios.length ? Math.max(...ratios) : null;
      Object.assign(this.cloudlets.get(id), { state, at, cpu, mem, gpu, placed, load });
    }
    return all || known.length + gone.length > 0;
  }

  /** Seconds since a cloudlet reported; null where it never did. */
  age = ({ at }) => (at == null ? null : Math.max(0, (Date.now() + this.#ahead) / 1000 - at));

  /** How many there are of each state. */
  counts() {
    const counts = STATES.map(() => 0);
    for (const { state } of this.cloudlets.values()) counts[state] += 1;
    return counts;
  }

  #remove(id) {
    const cloudlet = this.cloudlets.get(id);
    this.cloudlets.delete(id);
    if (cloudlet) this.#forgetUuid(cloudlet);
  }

  /** Another one may go by its uuid by now. */
  #forgetUuid(cloudlet) {
    if (this.byUuid.get(cloudlet.uuid) === cloudlet) this.byUuid.delete(cloudlet.uuid);
  }
}
