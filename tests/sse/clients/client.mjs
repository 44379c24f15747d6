// Prints the number of each event that a client of npm gets, a line each: `node client.mjs CLIENT URL`.
const [client, url] = process.argv.slice(2);

const opened = () => console.log("open");
const received = (data) => console.log(JSON.parse(data).number);

const clients = {
  async "eventsource"() {
    const { EventSource } = await import("eventsource");
    listen(new EventSource(url));
  },

  async "reconnecting-eventsource"() {
    const { EventSource } = await import("eventsource");
    const { default: ReconnectingEventSource } = await import("reconnecting-eventsource");
    const Class = ReconnectingEventSource.default ?? ReconnectingEventSource;
    listen(new Class(url, { max_retry_time: 500, eventSourceClass: EventSource }));
  },

  async "eventsource-client"() {
    const { createEventSource } = await import("eventsource-client");
    createEventSource({
      url,
      onConnect: opened,
      onMessage: ({ event, data }) => {
        const parsed = JSON.parse(data);
        if (event === "note.written") console.log(parsed.number);
      },
    });
  },
};

function listen(source) {
  source.onopen = opened;
  // A message without a name, which would be an empty one of ours.
  source.onmessage = (event) => JSON.parse(event.data);
  source.addEventListener("note.written", (event) => received(event.data));
  source.addEventListener("typed-events.gap", (event) => console.log(`gap ${event.data}`));
}

await clients[client]();
