// A service with the Redis adapter that events services in JavaScript document: it publishes events on channels of
// their names, and listens to all of them. Its arguments are a port, and how many events go each way.
import { createInterface } from "node:readline";
import Redis from "ioredis";

class RedisEventAdapter {
  constructor(publisher, subscriber, onMessage) {
    this.publisher = publisher;
    subscriber.on("pmessage", (pattern, channel, message) => onMessage(channel, JSON.parse(message)));
    this.subscribed = subscriber.psubscribe("*");
  }

  async publish(event, data) {
    await this.publisher.publish(event, JSON.stringify(data));
  }
}

const [port, count] = process.argv.slice(2).map(Number);
const [publisher, subscriber] = [new Redis(port), new Redis(port)];
const seen = { "order.placed": new Map(), "order.shipped": new Map() };
let finish;
const finished = new Promise((resolve) => (finish = resolve));

const events = new RedisEventAdapter(publisher, subscriber, (event, { id }) => {
  seen[event].set(id, (seen[event].get(id) ?? 0) + 1);
  if (Object.values(seen).every((ids) => ids.size === count)) finish();
});

await events.subscribed;
console.log("ready");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
await lines.next();
for (let id = 0; id < count; id++) {
  await events.publish("order.shipped", { id, carrier: "Müller & Söhne", parcels: [{ weight: 1.5 }] });
}
await finished;
// What may still come, comes before the answer.
await lines.next();
await subscriber.ping();
const times = (event) => [...seen[event].values()];
const tally = (event) => ({ distinct: seen[event].size, twice: times(event).filter((n) => n > 1).length });
console.log(JSON.stringify({ own: tally("order.shipped"), others: tally("order.placed") }));
publisher.disconnect();
subscriber.disconnect();
lines.return();
process.stdin.destroy();
