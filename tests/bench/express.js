// The usual Node stack for the same work: a session in Redis, its token sent on, everything else passed through.
const express = require('express');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');
const { createProxyMiddleware } = require('http-proxy-middleware');
const { Agent } = require('http');

const url = process.env.REDIS;
const client = createClient(url.startsWith('unix://') ? { socket: { path: url.slice(7).split('?')[0] } } : { url });
client.connect();
const app = express();
app.use(session({
  store: new RedisStore({ client, disableTouch: true }), secret: 'bench', resave: false, saveUninitialized: false,
}));
app.get('/login', (request, response) => {
  request.session.token = 't'.repeat(1100);
  response.json({});
});
app.use('/api', createProxyMiddleware({
  target: process.env.UPSTREAM,
  agent: new Agent({ keepAlive: true, maxSockets: 4096 }),
  on: {
    proxyReq: (outgoing, request) => {
      outgoing.removeHeader('cookie');
      if (request.session.token) outgoing.setHeader('authorization', `Bearer ${request.session.token}`);
    },
  },
}));
app.listen(Number(process.env.PORT), '127.0.0.1', 4096);
