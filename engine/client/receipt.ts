/**
 * The receipt of an entry into a draw, which can check itself. What that takes (receipt-check.ts) is loaded with the first check:
 * most pages never need it.
 */
import { EngineError } from './ending.ts'
import { insist, type Patience } from './patience.ts'
import type { PublishedKey, ReceiptFields, Verdict } from './receipt-check.ts'
import { inPath, isDone, isText, listOf, type Transport } from './transport.ts'

/** The keys that an engine signs receipts and commitments with. */
export async function publishedKeys(
  transport: Transport,
  round: string,
  patience?: Patience,
): Promise<readonly PublishedKey[]> {
  const path = `/v1/rounds/${inPath(round)}/draw/key`
  const settled = await insist(transport, { path, expects: { keys: listOf({ key_id: isText }) } }, patience)
  if (!isDone(settled.answer)) throw new EngineError(settled, path)
  return settled.answer.body.keys as readonly PublishedKey[]
}

/** A receipt that can check itself; as JSON it is its fields alone. */
export class Receipt {
  readonly fields: ReceiptFields
  readonly #transport: Transport
  readonly #user: string | undefined

  constructor(fields: ReceiptFields, transport: Transport, user: string | undefined) {
    // What was kept may be anything by now.
    this.fields = Object(fields)
    this.#transport = transport
    this.#user = user ?? this.fields.user_id
  }

  toJSON(): ReceiptFields {
    return this.#user === undefined ? this.fields : { ...this.fields, user_id: this.#user }
  }

  /** Whether the engine signed it, and whether it is the user's where that is known. Throws when the keys cannot be read. */
  async verify(patience?: Patience): Promise<Verdict> {
    const { checkOwner, checkSignature, judged } = await import('./receipt-check.ts')
    const { round_id: round } = this.fields
    const keys = isText(round) ? await publishedKeys(this.#transport, round, patience) : []
    const signed = await judged(checkSignature(this.fields, keys))
    if (signed.verdict !== 'holds' || this.#user === undefined) return signed
    return judged(checkOwner(this.fields, this.#user))
  }
}
