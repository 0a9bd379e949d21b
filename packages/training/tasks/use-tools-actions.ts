// What tools can do.
//
// Owns the actions (send, set, book, pay...) with their parameters and the words that ask for them and report them. Knows
// nothing about schemas or scenarios.
import type { Language } from './task.ts';
import { amount, code, type Draw, email, integer, oneOf, person, thing, time, topic } from './use-tools-values.ts';

export interface Action {
  readonly name: string;
  readonly zh: string;
  readonly verbs: string;
  readonly noun: string;
  readonly parameters: readonly {
    readonly keys: string;
    readonly type: 'string' | 'integer' | 'number' | 'boolean';
    readonly draw: Draw;
  }[];
  readonly description: string;
  /** Requests with `$a`, `$b`, `$c` for the parameters in order. */
  readonly asked: Readonly<Record<Language, string>>;
  readonly done: Readonly<Record<Language, string>>;
}

const message: Draw = oneOf(
  'I am late|see you soon|the meeting is moved|please call me|happy birthday|the package is here|lunch is ready|thank you for the help|' +
    'we need more time|the report is done|the train is late|dinner at eight|good luck|I am at home|bring the keys|the answer is yes|' +
    'come to my office|the door is open|well done|do not wait for me',
  '我迟到了|一会儿见|会议改期了|请给我打电话|生日快乐|包裹到了|午饭好了|谢谢你的帮助|我们需要更多时间|报告完成了|火车晚点了|晚上八点吃饭|祝你好运|我在家|带上钥匙|' +
    '答案是可以|来我办公室|门开着|做得好|不用等我',
);

export const sendEmail: Action = {
  name: 'send email',
  zh: '发邮件',
  verbs: 'send|write|mail',
  noun: 'email|mail',
  description: '{Send|Write} an email.',
  parameters: [
    { keys: 'to|email|address|recipient', type: 'string', draw: email },
    { keys: 'text|body|message|content', type: 'string', draw: message },
  ],
  asked: {
    en: '{Send an email to $a{ saying|:| with the text} "$b"{.|}|Email "$b" to $a.|Write $a an email: "$b"}',
    zh: '{给$a发{一封|}邮件：“$b”|发邮件给$a，内容是“$b”。|写邮件到$a：“$b”}',
  },
  done: { en: '{The email is sent to $a.|I sent the email to $a.}', zh: '{邮件已发给$a。|已给$a发了邮件。}' },
};

export const setAlarm: Action = {
  name: 'set alarm',
  zh: '设闹钟',
  verbs: 'set|create|add|start',
  noun: 'alarm|alarm_clock|wake_up',
  description: '{Set|Create} an alarm.',
  parameters: [{ keys: 'time|at|when', type: 'string', draw: time }],
  asked: {
    en: '{Set an alarm for $a.|Wake me {up |}at $a.|I need an alarm at $a.}',
    zh: '{设一个$a的闹钟。|$a叫我起床。|帮我定$a的闹钟。}',
  },
  done: { en: '{The alarm is set for $a.|I set the alarm for $a.}', zh: '{闹钟设在$a。|已设好$a的闹钟。}' },
};

export const calculate: Action = {
  name: 'calculate',
  zh: '计算',
  verbs: 'calculate|compute|evaluate',
  noun: '',
  description: '{Calculate|Compute|Evaluate} an expression.',
  parameters: [
    {
      keys: 'expression|formula|input',
      type: 'string',
      draw: (random) => `${random.integer(100, 9999)} ${random.pick(['+', '-', '*'])} ${random.integer(100, 999)}`,
    },
  ],
  asked: {
    en: '{Calculate $a with the tool.|Use the calculator: $a|What is $a? Use the tool.}',
    zh: '{用工具计算$a。|用计算器算$a。|$a等于多少？用工具算。}',
  },
  done: { en: '', zh: '' },
};

export const actions: readonly Action[] = [
  sendEmail,
  setAlarm,
  {
    name: 'send message',
    zh: '发消息',
    verbs: 'send|post|write',
    noun: 'message|sms|text_message|note_to',
    description: '{Send|Write} a message to {a person|someone}.',
    parameters: [
      { keys: 'to|name|recipient|person', type: 'string', draw: person },
      { keys: 'text|message|body|content', type: 'string', draw: message },
    ],
    asked: {
      en: '{Tell $a: "$b"|Send $a {a|the} message: "$b"|Send the message "$b" to $a.|Write to $a: "$b"|Message $a that "$b".}',
      zh: '{给$a发消息：“$b”|告诉$a“$b”。|发消息“$b”给$a。|跟$a说“$b”。}',
    },
    done: { en: '{I sent the message to $a.|The message to $a is sent.}', zh: '{消息已发给$a。|已告诉$a。}' },
  },
  {
    name: 'create event',
    zh: '创建日程',
    verbs: 'create|add|schedule|plan',
    noun: 'event|meeting|appointment',
    description: '{Create|Add} {an event|a meeting} in the calendar.',
    parameters: [
      { keys: 'title|name|subject|topic', type: 'string', draw: topic },
      {
        keys: 'day|date|on',
        type: 'string',
        draw: oneOf(
          'Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday',
          '星期一|星期二|星期三|星期四|星期五|星期六|星期日',
        ),
      },
      { keys: 'time|start|at', type: 'string', draw: time },
    ],
    asked: {
      en: '{Schedule a meeting about $a on $b at $c.|Add a $a meeting on $b at $c.|Plan "$a" for $b, $c.|Put $a in my calendar, $b at $c.}',
      zh: '{在$b$c安排$a会议。|帮我在$b的$c加一个$a会议。|把$a会议排在$b$c。}',
    },
    done: {
      en: '{The $a meeting is planned for $b at $c.|I added $a on $b at $c.}',
      zh: '{$a会议已安排在$b$c。|已安排$b$c的$a会议。}',
    },
  },
  {
    name: 'set timer',
    zh: '设定时器',
    verbs: 'set|start|create',
    noun: 'timer|countdown',
    description: '{Set|Start} a timer.',
    parameters: [{ keys: 'minutes|duration|length', type: 'integer', draw: integer(1, 180) }],
    asked: {
      en: '{Set a timer for $a minutes.|Start a {timer of $a minutes|$a minute timer}.|Count down $a minutes.}',
      zh: '{定时$a分钟。|设一个$a分钟的定时器。|倒计时$a分钟。}',
    },
    done: {
      en: '{The timer runs for $a minutes.|I set a timer for $a minutes.}',
      zh: '{已定时$a分钟。|定时器设为$a分钟。}',
    },
  },
  {
    name: 'set temperature',
    zh: '设温度',
    verbs: 'set|change|adjust',
    noun: 'temperature|heating|thermostat',
    description: '{Set|Change} the temperature of a room.',
    parameters: [
      {
        keys: 'room|place|zone',
        type: 'string',
        draw: oneOf('kitchen|bedroom|bathroom|office|hall|garage|living room', '厨房|卧室|浴室|书房|客厅|车库|走廊'),
      },
      { keys: 'degrees|temperature|value', type: 'integer', draw: integer(14, 28) },
    ],
    asked: {
      en: '{Set the $a to $b degrees.|Make it $b degrees in the $a.|Heat the $a to $b degrees.}',
      zh: '{把$a调到$b度。|$a的温度设为$b度。|让$a变成$b度。}',
    },
    done: { en: '{The $a is set to $b degrees.|I set the $a to $b degrees.}', zh: '{$a已设为$b度。|已把$a调到$b度。}' },
  },
  {
    name: 'switch light',
    zh: '开关灯',
    verbs: 'switch|set|toggle|turn',
    noun: 'light|lamp|lights',
    description: '{Switch|Turn} the light of a room on or off.',
    parameters: [
      {
        keys: 'room|place|where',
        type: 'string',
        draw: oneOf('kitchen|bedroom|bathroom|office|hall|garage|garden', '厨房|卧室|浴室|书房|客厅|车库|花园'),
      },
      { keys: 'on|is_on|enabled', type: 'boolean', draw: (random) => random.chance(0.5) },
    ],
    asked: {
      en: '{Turn $b the light in the $a.|Switch the $a light $b.|Light $b in the $a{, please|}.}',
      zh: '{把$a的灯$b。|$b$a的灯。|请把$a灯$b。}',
    },
    done: { en: 'The light in the $a is $b.', zh: '$a的灯已$b。' },
  },
  {
    name: 'add to cart',
    zh: '加入购物车',
    verbs: 'add|put|place',
    noun: 'to_cart|to_basket|item|in_cart',
    description: '{Add|Put} a product {to the cart|in the basket}.',
    parameters: [
      { keys: 'product|item|article', type: 'string', draw: thing },
      { keys: 'quantity|count|number|amount', type: 'integer', draw: integer(2, 40) },
    ],
    asked: {
      en: '{Add $b of the $a to my cart.|Put $b times the $a in the basket.|I want $b of the $a in my cart.}',
      zh: '{把$b件$a加入购物车。|购物车里放$b件$a。|帮我加$b件$a到购物车。}',
    },
    done: { en: '{I added $b of the $a.|$b of the $a are in the cart.}', zh: '{已加入$b件$a。|购物车里有了$b件$a。}' },
  },
  {
    name: 'book table',
    zh: '订位',
    verbs: 'book|reserve|order',
    noun: 'table|seats|restaurant',
    description: '{Book|Reserve} a table.',
    parameters: [
      {
        keys: 'restaurant|place|name',
        type: 'string',
        draw: oneOf(
          'Luna|Blue Door|Old Mill|Green Leaf|Sakura|Bella|Red Lantern',
          '外婆家|老地方|江南春|小南国|绿茶|蜀香园',
        ),
      },
      { keys: 'people|guests|seats|persons', type: 'integer', draw: integer(2, 12) },
      { keys: 'time|at|when', type: 'string', draw: time },
    ],
    asked: {
      en: '{Book a table at $a for $b people at $c.|Reserve $b seats at $a, $c.|We are $b and want to eat at $a at $c.}',
      zh: '{在$a订$b人的位子，$c。|帮我订$a，$b个人，$c。|$c在$a订一桌，$b人。}',
    },
    done: {
      en: '{The table at $a is booked for $b people at $c.|I booked $a for $b at $c.}',
      zh: '{已订$a，$b人，$c。|$a的$b人位已订在$c。}',
    },
  },
  {
    name: 'pay',
    zh: '付款',
    verbs: 'pay|transfer|send',
    noun: 'money|funds|person|payment',
    description: '{Pay|Send money to} a person.',
    parameters: [
      { keys: 'to|person|recipient|name', type: 'string', draw: person },
      { keys: 'amount|sum|value', type: 'number', draw: amount },
    ],
    asked: {
      en: '{Pay $a $b dollars.|Send $b dollars to $a.|Transfer $b to $a.}',
      zh: '{付给$a$b元。|转$b元给$a。|给$a转账$b元。}',
    },
    done: { en: '{I paid $a $b dollars.|$b dollars went to $a.}', zh: '{已付给$a$b元。|$b元已转给$a。}' },
  },
  {
    name: 'create note',
    zh: '记笔记',
    verbs: 'create|save|write|add',
    noun: 'note|memo|reminder',
    description: '{Save|Create} a note.',
    parameters: [{ keys: 'text|content|note', type: 'string', draw: message }],
    asked: {
      en: '{Note: "$a"|Save the note "$a".|Write down "$a".|Remember "$a" for me.}',
      zh: '{记下“$a”。|保存笔记“$a”。|帮我记“$a”。}',
    },
    done: { en: '{The note is saved.|I saved the note.}', zh: '{笔记已保存。|已记下。}' },
  },
  {
    name: 'cancel order',
    zh: '取消订单',
    verbs: 'cancel|delete|remove|stop',
    noun: 'order|purchase',
    description: '{Cancel|Delete} an order.',
    parameters: [{ keys: 'order|order_id|id|number', type: 'string', draw: code }],
    asked: {
      en: '{Cancel order $a.|Please delete order $a.|I no longer want order $a.}',
      zh: '{取消订单$a。|请删除订单$a。|我不要订单$a了。}',
    },
    done: { en: '{Order $a is canceled.|I canceled order $a.}', zh: '{订单$a已取消。|已取消订单$a。}' },
  },
];
