import { Html, markup } from './markup';

it.each([
  [`<script>alert('1')</script>`, '&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;'],
  ['" onload="x', '&quot; onload=&quot;x'],
  ['a & b', 'a &amp; b'],
  ['&lt;', '&amp;lt;'],
  ['a\u202eb\u0000c\nd', 'a\\u202eb\\u0000c\\u000ad'],
])('%j is text and nothing else', (text, source) => {
  expect(markup`<b title="${text}">${text}</b>`.source).toBe(`<b title="${source}">${source}</b>`);
});

it('takes over what is HTML already, and lists of it', () => {
  const items = ['<a>', 'b'].map((text) => markup`<li>${text}</li>`);
  expect(markup`<ul>${items}</ul>${new Html('<hr>')}${2}`.source).toBe(
    '<ul><li>&lt;a&gt;</li><li>b</li></ul><hr>2',
  );
});
