// node node.cjs LIBRARY URL. Node's own options and NODE_EXTRA_CA_CERTS say which TLS it speaks, and whom it trusts.
'use strict';
const readline = require('node:readline');
require('./speak.js');

const connect = {
  ws: (url) => new (require('ws'))(url),
  undici: (url) => new (require('undici').WebSocket)(url),
  node: (url) => new WebSocket(url),
  websocket: (url) => {
    const limits = {maxReceivedFrameSize: 1 << 24, maxReceivedMessageSize: 1 << 24};
    return new (require('websocket').w3cwebsocket)(url, [], undefined, {}, undefined, limits);
  },
};
const socket = connect[process.argv[2]](process.argv[3]);
speak(socket);
const input = readline.createInterface({input: process.stdin});
input.on('line', (line) => socket.send(line === 'binary' ? new Uint8Array(3) : line));
input.on('close', () => socket.close(1000));
socket.addEventListener('close', () => process.stdin.destroy());
