// A connection to the gateway for pages, in plain JavaScript: copy it. browser.html shows how it is used.
//
//   const gateway = new Gateway('ws://localhost:18801', token);
//   gateway.onOnline = async () => console.log(await gateway.call('channel.subscribe', {channel: 'news'}));
//   gateway.onNotification = (method, params) => console.log(method, params);
//   gateway.connect();
//
// It connects again and again, finds out when a connection is dead without a word, and renews its token before that
// expires.
'use strict';

const FIRST_DELAY = 250; // milliseconds between two tries to connect
const LONGEST_DELAY = 30_000;

class Gateway {
  constructor(url, token) {
    this.url = url;
    this.token = token;
    this.requests = new Map(); // what waits for an answer, by its id
    this.lastId = 0;
    this.failures = 0;
  }

  // What a page of your own does

  onOnline(session) {} // we have a session: the place to subscribe to something
  onOffline(reason) {} // we have none, and try again
  onEnd(reason) {} // we have none, and don't try again: something must change first
  onNotification(method, params) {}
  onToken(token) {} // we have another token: the place to keep it, for when the page is opened again
  onLastToken(reason) {} // ours can't be renewed: when it expires, somebody must have given us another one

  // Call a method; the promise is rejected with an error that has the gateway's `code` and `data`.
  call(method, params = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        reject(new Error('not connected'));
        return;
      }
      const id = ++this.lastId;
      this.requests.set(id, {resolve, reject});
      this.socket.send(JSON.stringify({jsonrpc: '2.0', method, params, id}));
    });
  }

  connect() {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => this.authenticate();
    socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    socket.onclose = (event) => this.lost(socket, event.code, event.reason);
    socket.onerror = () => this.lost(socket, 1006, ''); // after which not every WebSocket tells of a close
  }

  // Say goodbye, and don't come back.
  close() {
    this.ended = true;
    clearTimeout(this.waiting);
    this.socket?.close(1000);
  }

  async authenticate() {
    this.sessionId = null;
    try {
      const session = await this.call('auth.authenticate', {token: this.token});
      this.sessionId = session.session_id;
      this.failures = 0; // only now: a gateway that accepts us and then fails must not be tried without pause
      await this.onOnline(session);
    } catch (error) {
      if (error.data && !error.data.retryable) {
        this.close();
        this.onEnd(error.message);
      } else {
        this.socket?.close(3000);
      }
    }
  }

  // Our token expires within a minute: go on with another one, on the same connection.
  async renew() {
    try {
      this.token = (await this.call('auth.renew')).token;
      this.onToken(this.token);
      await this.call('auth.refresh', {token: this.token});
    } catch (error) {
      if (error.data && !error.data.retryable) {
        this.onLastToken(error.message);
      }
    }
  }

  // Who has subscribed to $system hears of the tokens of others, too; the first one may come before we know our session.
  isExpiring({method, params}) {
    return method === 'event' && params.type === 'token.expiring' &&
      [null, params.data.session_id].includes(this.sessionId);
  }

  receive(message) {
    if (message.method === 'connection.welcome') {
      this.patience = message.params.heartbeat_timeout * 1000;
    }
    this.watch();
    if (this.isExpiring(message)) {
      this.renew();
    }
    if (message.method) {
      this.onNotification(message.method, message.params);
      return;
    }
    const request = this.requests.get(message.id);
    this.requests.delete(message.id);
    if (message.error) {
      request?.reject(Object.assign(new Error(message.error.message), message.error));
    } else {
      request?.resolve(message.result);
    }
  }

  // The gateway sends a heartbeat if nothing else. A browser may take minutes to notice that none comes any more.
  watch() {
    clearTimeout(this.silence);
    const socket = this.socket;
    this.silence = setTimeout(() => {
      socket.close(3000);
      this.lost(socket, 1006, 'the gateway was silent'); // its own close comes minutes later
    }, this.patience);
  }

  lost(socket, code, reason) {
    if (this.socket !== socket) {
      return; // it is told already
    }
    this.socket = null;
    clearTimeout(this.silence);
    for (const request of this.requests.values()) {
      request.reject(new Error('the connection is gone')); // nobody knows whether it was carried out
    }
    this.requests.clear();
    if (this.ended) {
      return;
    }
    const why = reason || (code === 1006 ? 'nobody listens there, or the connection broke' : `closed with ${code}`);
    if (code >= 4500) {
      this.ended = true;
      this.onEnd(why);
      return;
    }
    // Longer with each try, so that a gateway in trouble gets time, and random, so that not all come back at once.
    const delay = Math.random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.failures++);
    this.onOffline(`${why}; trying again in ${(delay / 1000).toFixed(1)} s`);
    this.waiting = setTimeout(() => this.connect(), delay);
  }
}
