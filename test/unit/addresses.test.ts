/**
 * Addresses as they are compared: one text for each, networks, and who asks where a proxy asks for them. The values are those
 * that sockets, headers and settings bring, and the ones that somebody would forge.
 */
import { expect, test } from 'vitest'
import { addressIn, callerAddress, Networks, networkOf } from '../../engine/auth/addresses.ts'

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['0000:0000:0000:0000:0000:ffff:c000:0201', '192.0.2.1'],
  ['2001:DB8::1', '2001:0db8:0000:0000:0000:0000:0000:0001'],
  ['::', '0000:0000:0000:0000:0000:0000:0000:0000'],
  ['::1', '0000:0000:0000:0000:0000:0000:0000:0001'],
  ['64:ff9b::192.0.2.1', '0064:ff9b:0000:0000:0000:0000:c000:0201'],
  ['fe80::1%eth0', undefined],
  ['192.0.2', undefined],
  ['0300.0.2.1', undefined],
  ['unknown', undefined],
  ['', undefined],
])('%s is the address %s', (text, address) => {
  expect(addressIn(text)).toBe(address)
})

test('IPv6 is counted by its /64, IPv4 by its address, whichever way it is written', () => {
  expect(networkOf('2001:db8:1:2:3::4')).toBe(networkOf('2001:db8:1:2:ffff::'))
  expect(networkOf('2001:db8:1:3::')).not.toBe(networkOf('2001:db8:1:2::'))
  expect(networkOf('::ffff:192.0.2.1')).toBe('192.0.2.1')
  expect(networkOf('')).toBe('')
})

test.each([
  [['10.0.0.0/8'], ['10.9.8.7', '::ffff:10.0.0.1'], ['11.0.0.1', '::10.0.0.1']],
  [['192.0.2.1'], ['192.0.2.1'], ['192.0.2.2']],
  [
    ['fd00::/8', '::1'],
    ['fd12:3::4', '0:0:0:0:0:0:0:1'],
    ['fe00::1', '::2', '127.0.0.1'],
  ],
  [['::ffff:10.0.0.0/104'], ['10.1.1.1'], ['11.1.1.1']],
  [['0.0.0.0/0'], ['1.2.3.4'], ['2001:db8::1', 'no address']],
  [[], [], ['127.0.0.1']],
])('the networks %o have %o and not %o', (entries, inside, outside) => {
  const networks = new Networks(entries)
  for (const address of inside) expect(networks.has(address), address).toBe(true)
  for (const address of outside) expect(networks.has(address), address).toBe(false)
})

test.each([
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/8/8',
  '10.0.0.0/',
  '10.0.0.0/x',
  'localhost',
  '::ffff:10.0.0.0/95',
  '::1/129',
])('%s is no network', entry => {
  expect(() => new Networks(['10.0.0.1', entry])).toThrow(entry)
})

const trusted = new Networks(['10.0.0.0/8', '2001:db8::/32'])
test.each([
  ['who is no proxy speaks for nobody', '192.0.2.9', '198.51.100.1', '192.0.2.9'],
  ['a proxy speaks for who it names', '10.0.0.1', '198.51.100.1', '198.51.100.1'],
  ['what a caller wrote stands left of that', '10.0.0.1', '203.0.113.1, 198.51.100.1', '198.51.100.1'],
  ['proxies in a row are passed', '10.0.0.1', '203.0.113.1, 198.51.100.1, 10.0.0.3, 10.0.0.2', '198.51.100.1'],
  ['where all are trusted it is the left-most', '10.0.0.1', '10.0.0.4, 10.0.0.3', '10.0.0.4'],
  ['ports are left out', '10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
  ['and brackets', '10.0.0.1', '[2001:dead::1]:443', '2001:dead:0000:0000:0000:0000:0000:0001'],
  ['and quotes', '10.0.0.1', '"[2001:dead::1]"', '2001:dead:0000:0000:0000:0000:0000:0001'],
  ['IPv4 in IPv6 is IPv4', '::ffff:10.0.0.1', '::ffff:198.51.100.1', '198.51.100.1'],
  ['no header, no other', '10.0.0.1', '', '10.0.0.1'],
  ['a word is no address', '10.0.0.1', 'unknown', '10.0.0.1'],
  ['nor is an empty entry', '10.0.0.1', '198.51.100.1,', '10.0.0.1'],
  ['behind a proxy, too', '10.0.0.1', 'unknown, 10.0.0.2', '10.0.0.1'],
  ['what stands further left may be anything', '10.0.0.1', 'unknown, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
])('%s', (_, socket, forwarded, caller) => {
  expect(callerAddress(socket, forwarded, trusted)).toBe(caller)
})
