/**
 * Console device with one port (virtio 1.3, 5.3): what Linux calls hvc0.
 *
 * Both directions hold back rather than lose characters: output stays in the driver's buffers while the receiver is
 * behind, input stays with its sender while the driver has no buffer for it.
 *
 * @module
 */
import {
  type AccessWidth,
  type Activation,
  type CharacterStream,
  defineVirtioDevice,
  type DescriptorChain,
  type DeviceHost,
  DeviceType,
  option,
  optional,
  type VirtioDevice,
  type VirtioPlugin,
  type Virtqueue,
} from "../plugin/api.ts";

/** The size of the terminal is in the configuration space (5.3.3). */
export const VIRTIO_CONSOLE_F_SIZE: bigint = 1n << 0n;
/** The driver can write characters without a queue (5.3.3). */
export const VIRTIO_CONSOLE_F_EMERG_WRITE: bigint = 1n << 2n;

/** Indices of the queues (5.3.2). */
const Queue = { receive: 0, transmit: 1 } as const;
/** Byte offsets in the configuration space (5.3.4). */
const Field = { columns: 0, rows: 2, emergencyWrite: 8, end: 12 } as const;

const QUEUE_SIZE = 64;
/** Bytes moved in one piece. */
const PIECE = 4096;
/** Bytes sent per wake-up, so that a guest that prints without end leaves room for other devices. */
const BUDGET = 16 * PIECE;

/** Console: option `stream` names the characters' other end as the host knows it. */
const consoleDevice: VirtioPlugin = defineVirtioDevice({
  name: "console",
  description: "terminal hvc0",
  deviceType: DeviceType.console,
  options: { stream: optional(option.text(), "tty") },
  create: ({ stream }, host) => new Console(host.openCharacterStream(stream), host),
});

export default consoleDevice;

class Console implements VirtioDevice {
  readonly features = VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_EMERG_WRITE;
  readonly queues = [{ name: "receiveq", size: QUEUE_SIZE }, { name: "transmitq", size: QUEUE_SIZE }];
  readonly configuration = new Uint8Array(Field.end);

  readonly #stream: CharacterStream;
  #receiveQueue: Virtqueue | undefined;
  #transmitQueue: Virtqueue | undefined;

  /** Input that was taken from the stream and not yet given to the driver: bytes [inputStart, inputEnd). */
  readonly #input = new Uint8Array(PIECE);
  #inputStart = 0;
  #inputEnd = 0;

  readonly #output = new Uint8Array(PIECE);
  /** The chain that is being sent, and how much of it was. */
  #sending: DescriptorChain | undefined;
  #sent = 0;
  #isReceiverBehind = false;

  constructor(stream: CharacterStream, host: DeviceHost) {
    this.#stream = stream;
    this.#readSize();
    stream.onReadable = () => this.#receive();
    stream.onWritable = () => {
      this.#isReceiverBehind = false;
      this.#transmit();
    };
    stream.onResize = () => {
      this.#readSize();
      host.configurationChanged();
    };
  }

  activate({ queues }: Activation): void {
    this.#receiveQueue = queues[Queue.receive];
    this.#transmitQueue = queues[Queue.transmit];
  }

  notify(queue: Virtqueue): void {
    if (queue.index === Queue.transmit) this.#transmit();
    else this.#receive();
  }

  /** Emergency write (5.3.4): the low byte is a character, sent at once or, when the receiver is behind, dropped. */
  writeConfiguration(offset: number, _width: AccessWidth, value: number): void {
    if (offset !== Field.emergencyWrite || this.#isReceiverBehind) return;
    this.#output[0] = value;
    this.#isReceiverBehind = !this.#stream.write(this.#output.subarray(0, 1));
  }

  reset(): void {
    this.#receiveQueue = undefined;
    this.#transmitQueue = undefined;
    this.#sending = undefined;
    this.#inputStart = this.#inputEnd = 0;
  }

  resetQueue(queue: Virtqueue): void {
    if (queue.index === Queue.transmit) this.#sending = undefined;
  }

  [Symbol.dispose](): void {
    this.reset();
    this.#stream[Symbol.dispose]();
  }

  /** Moves input into the driver's buffers as long as there are both. */
  #receive(): void {
    const queue = this.#receiveQueue;
    if (queue === undefined) return;
    while (this.#hasInput()) {
      const chain = queue.pop();
      if (chain === undefined) return;
      const taken = chain.write(0, this.#input.subarray(this.#inputStart, this.#inputEnd));
      this.#inputStart += taken;
      queue.push(chain, taken);
    }
  }

  #hasInput(): boolean {
    if (this.#inputStart === this.#inputEnd) {
      this.#inputStart = 0;
      this.#inputEnd = this.#stream.read(this.#input);
    }
    return this.#inputStart < this.#inputEnd;
  }

  /** Sends the driver's buffers until there are none, the receiver falls behind, or enough was done for now. */
  #transmit(): void {
    const queue = this.#transmitQueue;
    if (queue === undefined) return;
    for (let budget = BUDGET; !this.#isReceiverBehind; budget -= PIECE) {
      if (budget === 0) return queue.defer();
      if (this.#sending === undefined) {
        this.#sending = queue.pop();
        this.#sent = 0;
      }
      if (this.#sending === undefined) return;
      this.#sendPiece(queue, this.#sending);
    }
  }

  #sendPiece(queue: Virtqueue, chain: DescriptorChain): void {
    const length = chain.read(this.#sent, this.#output);
    this.#sent += length;
    if (length > 0) this.#isReceiverBehind = !this.#stream.write(this.#output.subarray(0, length));
    if (this.#sent < chain.readableLength) return;
    this.#sending = undefined;
    queue.push(chain, 0);
  }

  #readSize(): void {
    const view = new DataView(this.configuration.buffer);
    view.setUint16(Field.columns, this.#stream.columns, true);
    view.setUint16(Field.rows, this.#stream.rows, true);
  }
}
