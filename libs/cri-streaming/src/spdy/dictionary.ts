/**
 * The text that both sides of SPDY/3 load their compressors with (section 2.6.10.1 of its
 * specification): words with their length before them, then text. Compressed headers refer to it by
 * offset, so that each byte counts.
 */
const words =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin';

const text = [
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505',
  '203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request',
  '401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented',
  '503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 ',
  'Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,',
  'application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=',
  'gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.',
].join('');

/** 1423 bytes. */
export const spdyDictionary: Buffer = Buffer.concat([
  ...words.split(' ').map((word) => {
    const counted = Buffer.alloc(4 + word.length);
    counted.writeUInt32BE(word.length);
    counted.write(word.replace('_', ' '), 4, 'latin1');
    return counted;
  }),
  Buffer.from(text, 'latin1'),
]);
