/**
 * The isolate of a machine. Between its waits for devices it does not return to the runtime's event loop, so that messages
 * are announced by an event descriptor and fetched one by one.
 *
 * @module
 */
import { Machine } from "./machine.ts";
import type { FromMachine, ToMachine } from "./protocol.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<ToMachine>) => void) | null;
  postMessage(message: FromMachine): void;
  close(): void;
};

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

async function main({ request, blocks }: Extract<ToMachine, { type: "build" }>): Promise<void> {
  const post = (message: FromMachine) => scope.postMessage(message);
  try {
    const machine = await Machine.build(request, blocks, post);
    post({ type: "started", notes: machine.notes, timeline: machine.timeline });
    post({ type: "ended", ...await machine.run(takeMessage) });
  } catch (error) {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    post({ type: "failed", message, stack: stack ?? "" });
  }
  scope.close();
}
