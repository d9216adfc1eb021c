// node browser.cjs PAGE: a page without a browser. Reads lines of JSON: {"fill": id, "value": text} fills a field,
// {"submit": id} submits a form. Prints what the page shows, as "id: text".
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const vm = require('node:vm');

const page = process.argv[2];
const html = fs.readFileSync(page, 'utf8').replace(/<!--[^]*?-->/g, '');

class Element {
  constructor(id = '', value = '') {
    this.id = id;
    this.value = value;
    this.text = '';
    this.listeners = {};
  }

  get textContent() {
    return this.text;
  }

  set textContent(text) {
    this.text = text;
    if (this.id) {
      console.log(`${this.id}: ${text}`);
    }
  }

  append(child) {
    console.log(`${this.id}: ${child.text}`);
  }

  addEventListener(type, listener) {
    this.listeners[type] = listener;
  }
}

const elements = {};
for (const [tag, id] of html.matchAll(/<\w+ id="(\w+)"[^>]*>/g)) {
  elements[id] = new Element(id, /value="([^"]*)"/.exec(tag)?.[1] ?? '');
}
globalThis.document = {
  getElementById: (id) => elements[id] ?? null,
  createElement: () => new Element(),
};

for (const [, source, code] of html.matchAll(/<script(?: src="([^"]+)")?>([^]*?)<\/script>/g)) {
  vm.runInThisContext(source ? fs.readFileSync(path.join(path.dirname(page), source), 'utf8') : code);
}

const input = readline.createInterface({input: process.stdin});
input.on('line', (line) => {
  const {fill, value, submit} = JSON.parse(line);
  if (fill) {
    elements[fill].value = value;
  } else {
    elements[submit].listeners.submit({preventDefault() {}});
  }
});
input.on('close', () => process.exit(0));
