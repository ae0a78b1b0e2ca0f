/**
 * What a round is made of and never changes: kept as JSON in its state hash and read once by each worker. It carries
 * what a claim needs of its campaign (pack, limit, currency), so that the claim path never looks at a second key.
 */
export interface AmountOff {
  readonly type: 'amount_off'
  readonly amount_off: number
  readonly minimum_amount: number
}
export interface PercentOff {
  readonly type: 'percent_off'
  readonly percent_off: number
  readonly minimum_amount: number
  readonly maximum_discount_amount: number
}
export type Discount = AmountOff | PercentOff

/** One kind of coupon of the pack; amounts in minor units. */
export interface Template {
  readonly template: string
  readonly quantity: number
  readonly discount: Discount
  readonly valid_for_s: number
  readonly max_per_order?: number | undefined
  readonly max_per_merchant_per_day?: number | undefined
  readonly merchant_tags?: readonly string[] | undefined
}

/** What an operator may choose of a draw; the beacon and the quota order are part of what is published. */
export interface DrawChoices {
  readonly beacon: { readonly kind: 'commit' } | { readonly kind: 'drand' }
  readonly quota_order: 'general-first' | 'pool-first'
  readonly waitlist: number
  /** Published with the rules: the operator may end a window early. Rounds of older engines do not say. */
  readonly may_end_early?: boolean | undefined
}

export type DrawnAllocation =
  | (DrawChoices & { readonly mode: 'window'; readonly window_ms: number })
  | (DrawChoices & { readonly mode: 'lottery'; readonly draws_at: string })

/** Strict: by the stamps of arrival over all workers, instead of by the order in which Redis decides. */
export interface ArrivalAllocation {
  readonly mode: 'fcfs'
  readonly strict?: true | undefined
}

export type Allocation = ArrivalAllocation | DrawnAllocation

export interface RoundConfig {
  readonly id: string
  readonly campaign_id: string
  /** For people; where its operator gave one. */
  readonly name?: string
  /** 1..2^20−1, the first four characters of its voucher codes. */
  readonly number: number
  readonly currency: string
  readonly allocation: Allocation
  /** Pool names by place; the first is `general`. */
  readonly pools: readonly string[]
  readonly per_user: number
  readonly pack: readonly Template[]
  readonly created_at: string
}

/** Whether who gets something is drawn, among those who entered. */
export const isDrawn = ({ allocation }: Pick<RoundConfig, 'allocation'>): boolean => allocation.mode !== 'fcfs'

/** Whether the moment of arrival orders its claims, over all workers. */
export const isStrict = ({ allocation }: Pick<RoundConfig, 'allocation'>): boolean =>
  allocation.mode === 'fcfs' && allocation.strict === true

/** Whether the level fenced covers its claims: grants in the order of asking, and no draw. */
export const isFencible = (config: Pick<RoundConfig, 'allocation'>): boolean => !isDrawn(config) && !isStrict(config)

/** The templates of a pack, one entry a voucher, in the order of their places. */
export function vouchersOf(pack: readonly Template[]): readonly Template[] {
  return pack.flatMap(template => Array.from({ length: template.quantity }, () => template))
}

/** The most that one voucher can cost its sponsor, minor units. */
export const worthOf = ({ discount }: Template): number =>
  discount.type === 'amount_off' ? discount.amount_off : discount.maximum_discount_amount

/** The most that one pack can cost its sponsor, minor units. */
export function packAmount(pack: readonly Template[]): number {
  return pack.reduce((sum, template) => sum + template.quantity * worthOf(template), 0)
}

/** What a voucher takes off an order, minor units, rounded down: the sponsor never pays a unit more than stated. */
export function discountOf(discount: Discount, orderAmount: number): number {
  if (discount.type === 'amount_off') return Math.min(discount.amount_off, orderAmount)
  const share = Number((BigInt(orderAmount) * BigInt(Math.round(discount.percent_off * 100))) / 10_000n)
  return Math.min(share, discount.maximum_discount_amount)
}
