// extract-parcel: extract-json for a kind of record that no recipe's mixture has.
//
// Owns what a note about a parcel to be fetched can say. Single keys, and sorts of values, are among those of extract-json, but no kind
// of record there has half of these fields, and no wording is one of its own. It stands for the narrow task that somebody brings
// along: a model is measured on it before and after it has learned it. Prompts, the expert's JSON and the judge are extract-json's.

import { extractionTask } from './extract-json.ts';
import { field, type RecordKind } from './extract-json-records.ts';
import {
  code,
  date,
  email,
  oneOf,
  person,
  phone,
  place,
  price,
  sizes,
  thing,
  time,
  truth,
} from './extract-json-values.ts';
import type { Task } from './task.ts';

export const parcel: RecordKind = {
  name: 'parcel',
  fields: [
    field(
      'string',
      'name|customer',
      '姓名|客户',
      person,
      '{The parcel is for $v|It belongs to $v|receiver: $v}',
      '{收件人是$v|收件人：$v|包裹是$v的}',
    ),
    field(
      'string',
      'phone|tel|mobile',
      '电话|手机',
      phone,
      '{Please call $v first|The courier rang $v|telephone: $v}',
      '{请先打$v|来电请打$v|联系电话：$v}',
    ),
    field(
      'string',
      'email|mail',
      '邮箱|电子邮件',
      email,
      '{We wrote to $v|A mail went to $v|mailbox: $v}',
      '{信已寄到$v|通知邮箱：$v}',
    ),
    field(
      'string',
      'case_number|ticket_id',
      '工单号',
      code,
      '{The parcel number is $v|parcel $v|shelf mark: $v}',
      '{包裹号是$v|包裹$v|取件码：$v}',
    ),
    field(
      'string',
      'date|day',
      '日期',
      date,
      '{It stays here until $v|Fetch it on $v|last day: $v}',
      '{保留到$v|$v来取|最后期限：$v}',
    ),
    field(
      'string',
      'time|hour',
      '时间',
      time,
      '{We close at $v|Please come at $v|open until $v}',
      '{$v关门|请$v来|营业到$v}',
    ),
    field(
      'string',
      'from|origin',
      '出发地|起点',
      place,
      '{It came from $v|It was sent from $v|sender in $v}',
      '{从$v寄来|寄出地：$v|来自$v的包裹}',
    ),
    field(
      'string',
      'product|item',
      '商品|产品',
      thing,
      '{There is a $v in it|Inside is a $v|contents: $v}',
      '{里面是$v|里面有$v|内容：$v}',
    ),
    field(
      'number',
      'price|cost',
      '价格',
      price,
      '{The duty is $v|duty: $v|You owe $v dollars}',
      '{关税是$v元|关税：$v|还欠$v元}',
    ),
    field(
      'boolean',
      'paid|is_paid',
      '已付款|是否付款',
      truth,
      '{The sender paid|Postage is paid}/{The sender did not pay|Postage is not paid}',
      '{邮费已付|寄件人付过了}/{邮费没付|寄件人还没付}',
    ),
    field(
      'enum',
      'size',
      '尺寸|大小',
      oneOf(sizes),
      '{It is a $v box|The box is $v|box: $v}',
      '{箱子$v|箱子大小：$v}',
      sizes,
    ),
  ],
  compounds: [
    {
      of: ['name', 'city'],
      en: '{for $a, sent from $b|the parcel from $b is for $a}',
      zh: '{$b寄给$a的包裹|$a有一件$b来的包裹}',
    },
    { of: ['date', 'time'], en: '{fetch it by $a, $b|until $a we close at $b}', zh: '{请在$a$b之前来取|保留到$a$b}' },
    {
      of: ['product', 'price'],
      en: '{a $a for $b is inside|inside is a $a, worth $b}',
      zh: '{里面是$b元的$a|装着$a，值$b元}',
    },
  ],
};

export const extractParcel: Task = extractionTask('extract-parcel', [parcel]);
