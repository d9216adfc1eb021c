// node --require node_global.cjs SCRIPT: gives a script the WebSocket that it would have in a browser.
'use strict';
globalThis.WebSocket = require('ws');
