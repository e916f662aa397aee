import { Injectable } from '@nestjs/common';

export const decorator = Injectable;
