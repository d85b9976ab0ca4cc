// The token, and what Tier 1 tells.

const KEY = 'sinfonia-operator-token';
/** Milliseconds before the first new attempt, and at most; each attempt doubles it. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 15000;
/** Milliseconds of silence after which a connection counts as lost: three keep-alives. */
const SILENCE = 45000;
/** Milliseconds after which a page that nobody sees listens no more. */
const UNSEEN = 30000;

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/** An answer that is none of those wished for. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.needsToken = status === 401 || status === 403;
  }
}

/** Asks this host, with the token if there is one. */
export async function ask(path, options = {}) {
  const shown = token.get();
  const headers = shown ? { Authorization: `Bearer ${shown}` } : {};
  const answer = await fetch(path, { ...options, headers, cache: 'no-store', redirect: 'error', credentials: 'omit' });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, problem.detail ?? `${answer.status} ${answer.statusText}`);
}

export const askJson = async (path, options) => (await ask(path, options)).json();

/**
 * Listens to the events for as long as somebody sees the page, and after each loss again. `EventSource` would do, but it cannot show a token.
 */
export class Feed {
  #heard;
  #changed;
  #attempt = null;
  #pause = FIRST_PAUSE;
  #timer = 0;
  #unseen = 0;
  #isPaused = false;

  /** `heard` gets each update, `changed` how the connection is: connecting, live, lost, unseen or refused, with words or the refusal. */
  constructor(heard, changed) {
    this.#heard = heard;
    this.#changed = changed;
    document.addEventListener('visibilitychange', () => this.#look());
  }

  /** Begins, or begins anew. */
  start() {
    this.stop();
    this.#pause = FIRST_PAUSE;
    this.#connect();
    this.#look();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#isPaused = false;
    this.#attempt?.abort();
    this.#attempt = null;
  }

  /** Lets a page that is hidden, or was so from the start, pause after a while, and one that is seen again go on. */
  #look() {
    clearTimeout(this.#unseen);
    if (document.hidden) {
      this.#unseen = setTimeout(() => {
        if (!this.#attempt) return;
        this.stop();
        this.#isPaused = true;
        this.#changed('unseen');
      }, UNSEEN);
    } else if (this.#isPaused) {
      this.start();
    }
  }

  async #connect() {
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#changed('connecting');
    let failure = null;
    try {
      const answer = await ask('dashboard/events', { signal: attempt.signal });
      this.#pause = FIRST_PAUSE;
      this.#changed('live');
      await this.#read(answer.body, attempt);
    } catch (error) {
      failure = error;
    }
    if (this.#attempt !== attempt) return;
    if (failure?.needsToken) {
      this.#attempt = null;
      this.#changed('refused', failure);
      return;
    }
    this.#changed('lost', failure);
    this.#timer = setTimeout(() => this.#connect(), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }

  /** Reads events until the other end closes; lines that begin with a colon keep the connection alive. */
  async #read(body, attempt) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    const watchdog = () => setTimeout(() => attempt.abort(), SILENCE);
    let guard = watchdog();
    let pending = [];
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(guard);
        guard = watchdog();
        const lines = value.split('\n');
        const last = lines.pop();
        for (const line of lines) {
          this.#line(pending.join('') + line);
          pending = [];
        }
        pending.push(last);
      }
    } finally {
      clearTimeout(guard);
    }
  }

  /** Each event has one line of data. */
  #line(line) {
    if (line.startsWith('data:')) this.#heard(JSON.parse(line.slice(5)));
  }
}
