// What is wider than the hundred columns that code has, because Prettier wraps code and no comment, is read by nobody.
export const width = 100;
