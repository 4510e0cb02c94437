/**
 * The isolate of a machine. Between its waits for devices it does not return to the runtime's event loop, so that messages
 * are announced by an event descriptor and fetched one by one.
 *
 * @module
 */
import { EventDescriptor } from "../../ffi/event_descriptor.ts";
import { Machine } from "./machine.ts";
import type { FromMachine, ToMachine } from "./protocol.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<ToMachine>) => void) | null;
  postMessage(message: FromMachine): void;
  close(): void;
};

/** What plugins leave to fail by itself is told like the words of a device with this name. */
const LOG_NAME = "machine";

// A plugin's forgotten promise or timer must not end the isolate: its vCPUs would run on with nobody to stop them.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  logStray("a promise was rejected that nobody waits for", event.reason);
});
addEventListener("error", (event) => {
  event.preventDefault();
  logStray("an error was thrown outside any call", event.error);
});

function logStray(what: string, cause: unknown): void {
  const reason = cause instanceof Error ? cause.stack ?? cause.message : String(cause);
  scope.postMessage({ type: "log", device: LOG_NAME, message: `${what}, probably by a plugin: ${reason}` });
}

const waiting: ToMachine[] = [];
let wake: ((message: ToMachine) => void) | undefined;

function takeMessage(): Promise<ToMachine> {
  const next = waiting.shift();
  return next === undefined ? new Promise((resolve) => wake = resolve) : Promise.resolve(next);
}

scope.onmessage = ({ data }) => {
  if (data.type === "build") {
    void main(data);
  } else if (wake === undefined) {
    waiting.push(data);
  } else {
    wake(data);
    wake = undefined;
  }
};

/** What a plugin may not do to the isolate that it shares with the machine. */
function forbid(call: string): () => never {
  return () => {
    throw new Error(`${call} was called by a plugin: it would end the machine; throw an error instead`);
  };
}

async function main({ request, blocks }: Extract<ToMachine, { type: "build" }>): Promise<void> {
  const post = (message: FromMachine) => scope.postMessage(message);
  const close = scope.close.bind(scope);
  Object.assign(scope, { close: forbid("close()") });
  Object.assign(Deno, { exit: forbid("Deno.exit()") });
  try {
    using controlEvent = new EventDescriptor();
    post({ type: "ready", controlEvent: controlEvent.fd });
    try {
      const machine = await Machine.build(request, blocks, controlEvent, post);
      post({ type: "started", notes: machine.notes, timeline: machine.timeline });
      post({ type: "ended", ...await machine.run(takeMessage) });
    } catch (error) {
      post(failure(error));
    }
    while ((await takeMessage()).type !== "release");
  } catch (error) {
    post(failure(error));
  }
  close();
}

function failure(error: unknown): FromMachine {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { type: "failed", message, stack: stack ?? "" };
}
