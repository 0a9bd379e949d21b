// How people ask to have something copied or picked out.
//
// Owns the wordings of repeat, form by form, and the sentences and blank forms of its `fill`. Knows nothing about answers.
// Every wording of a form takes the same values.
import type { Language } from './task.ts';

export type FormName =
  | 'say'
  | 'quote'
  | 'twice'
  | 'relist'
  | 'pick'
  | 'pickTwo'
  | 'edge'
  | 'neighbour'
  | 'without'
  | 'spell'
  | 'backward'
  | 'value'
  | 'keyOf'
  | 'json'
  | 'fill'
  | 'mentioned'
  | 'absent';

export const wordings: Readonly<Record<Language, Readonly<Record<FormName, string>>>> = {
  en: {
    say:
      '{Repeat after me: $text|{Say|Write|Type|Print} "$text" and nothing else.|{Reply|Answer|Respond} {only |just |}with: $text|{Repeat|Copy|Echo} {this|this text|the following} {exactly|word for word|as it is|unchanged}: $text|' +
      '{Say|Repeat|Echo}: $text|{Can|Could} you {repeat|say} "$text"?|Copy the {next|following} line:\n$text|$text\n{Repeat the line above.|Say that again.|Copy that exactly.}|' +
      'Your {answer|reply} must be {exactly|only}: $text|{Write|Say} back to me what I {write|say}: $text|Output this {string|text} without changes: $text|What did I just say? I said: $text}',
    quote:
      '{{Repeat|Say|Write|Copy} {this|the following|this text} in {double |}quotes: $text|Put {quotes|quotation marks} around {this|the text}: $text|Quote {this|me}: $text|$text\n{Put that in quotes.|Quote it exactly.}}',
    twice:
      '{{Say|Write|Repeat|Type} {this|the following} twice$how: $text|{Say|Write|Type} "$text" {twice|two times}$how.|$text\nRepeat that twice$how.|Two times$how, please: $text}',
    relist:
      '{{Copy|Rewrite|Repeat|Write|Give me} {this|the|the following} list $how:\n$text|{Write|Put|Show} {these|these items|them all} $how:\n$text|$text\n{Rewrite|Copy|Repeat} the list $how.|List $how:\n$text}',
    pick: '{{What is|Give me|Tell me|Name|Copy} the $place {item|entry|one|element} {of|in|from} {this list|the list|this}: $text|{Which {item|one|entry} is|What comes} $place {here|in this list}: $text|$text\n{What is|Give me|Repeat} the $place {item|one|entry}{.|, please.}|List: $text\n{Which is the $place?|The $place item?|Only the $place one, please.}|Read me {only|just} the $place of these: $text}',
    pickTwo:
      '{{Give me|Copy|Name|Repeat|What are} the $place {items|entries|ones} {of|in|from} {this list|the list|this}: $text|$text\n{Copy|Repeat|Write} {only |just |}the $place {items|ones|entries}.|{Take|Keep} only the $place of these: $text|List: $text\nThe $place, please.}',
    edge: '{{What is|Give me|Tell me|Repeat|Copy} the $side word {of|in} {this|this line|this text}: $text|$text\n{What is the $side word?|Which word comes $side?|Only the $side word, please.}|Which word {is|comes} $side here: $text|The $side word of "$text"{?| is what?}}',
    neighbour:
      '{{What comes|Which {item|one|word} {comes|stands|is}} {right |directly |}$side $item {here|in this list|in this row}: $text|$text\n{What comes|What is|Which one is} {right |}$side $item?|{Find|Look for} $item {here|in this} and {tell me|give me|write} {what|the one that} comes $side it: $text|In the list $text, what {is|comes} $side $item?}',
    without:
      '{{Copy|Repeat|Write|Give me} {this list|the list|these} {without|except|but leave out} $item: $text|$text\n{Remove|Delete|Drop|Leave out} $item{.| and write the rest.| from the list.}|{Remove|Take out|Delete} $item from {this list|the list|this}: $text}',
    spell:
      "{{Spell|Please spell|Can you spell|Spell out} {the word |}{$word|'$word'}$how{.|}|How do you spell {the word |}{$word|\"$word\"}$how?|{Write|Give me|List|Type} the letters {of|in} {$word|'$word'}$how{.|}|Letter by letter$how: $word|Write {$word|\"$word\"} letter by letter$how.|Break {$word|'$word'} into {its |}letters$how.}",
    backward:
      '{{Spell|Write|Say|Type} {$word|\'$word\'|"$word"} backwards{.|}|{Reverse|Turn around|Flip} {$word|\'$word\'|"$word"}{.|}|What is {$word|"$word"} {spelled |written |}backwards?|{$word|"$word"} backwards{?|, please.}|Backwards: $word|Write $word from right to left.}',
    value:
      '{{What is|What\'s|Give me|Tell me|Read|Copy} {the value of |}{$key|"$key"} {here|in this|in the following}:\n$record|$record\n{What is|What does it say for|Give me the value of|What value has|Look up} {$key|"$key"}?|{Record|Data|Config|Settings}:\n$record\n{$key?|Value of $key?|Only the value of $key, please.|Which value does $key have?}|From {this|these data|the lines below}, {give|tell|send} me {only |}$key:\n$record}',
    keyOf:
      '{{Which|What} {key|field|entry} {has the value|is set to|holds|says} {$value|"$value"}{ here|}:\n$record|$record\n{Which|What} {key|field} {has the value|is|holds|is set to} {$value|"$value"}?|{Data|Record|Settings}:\n$record\n{What is $value the value of?|Where does it say $value? Give the key.|Key of $value?}|Find $value and {give|tell} me its {key|field name}:\n$record}',
    json: '{{Return|Give me|Write|Output|Reply with} {JSON|a JSON object} with {only |just |}$keys {from|of} {this|these|the following}:\n$record|$record\n{JSON with|As JSON, only|Make a JSON object of|Return JSON with} $keys{.|, please.}|{Take|Copy|Extract|Keep} {only |}$keys {from|of} {this|the record} as JSON:\n$record|{Record|Data|Input}:\n$record\n{Keys|Fields}: $keys\n{JSON:|Answer in JSON.|JSON only.}}',
    fill: '{{Fill in|Complete|Fill out} {this|the form|the template|this template}:\n$form\n{Text|Message|Use this|From}: $text|$text\n{Fill in|Complete|Use it to fill in}:\n$form|{Read this|Message}: $text\n{Now fill in|Write it as|Put it in this form|Answer in this form}:\n$form|{Template|Form}:\n$form\n{Text|Information}: $text}',
    mentioned:
      '{{I bought|We talked about|They sent me|My notes say|On the table:|She named|We have} $text. {Which of these {was|is} {mentioned|there|among them}|Which one did I mention}: $options?|{Text|List|Note}: $text\n{Which of these is {in it|mentioned|in the list}|Which one appears}: $options?|Which of $options is {mentioned|named} {here|in this}: $text|{Of|From} $options, which one {was|is} in {this list|this text}: $text}',
    absent:
      '{{I bought|We talked about|They sent me|My notes say|She named|We have} $text. {Which of these {was|is} {not mentioned|missing}|Which one did I not mention}: $options?|{Text|List|Note}: $text\nWhich of these is {not in it|not mentioned|missing}: $options?|Which of $options is {not mentioned|missing} {here|in this}: $text}',
  },
  zh: {
    say: '{跟我{念|说|读}：$text|{请|}{说|写|输出|打出}“$text”，{别的什么都不要说|不要说别的|其他不用写}。|{请|}{只|仅|}{回复|回答|输出}：$text|{原样|一字不差地|完整地|照样}{重复|复述|写出|抄写}：$text|{重复|复述|说}：$text|{请|你能|}{重复|说}一遍“$text”{。|好吗？}|抄下面一行：\n$text|$text\n{重复上面这行。|再说一遍。|原样抄写。}|你的回答必须是：$text|不要改动，输出{这段文字|这个字符串}：$text|我说什么你说什么：$text}',
    quote:
      '{{请|}{给|把}{这段话|下面的文字|它}{加上引号|放进引号里}：$text|用引号{引用|写出|重复}：$text|$text\n{加上引号。|用引号写出来。}|引用我的话：$text}',
    twice:
      '{{请|}{说|写|重复|念}两遍$how：$text|{请|}把“$text”{说|写|重复}两遍$how。|$text\n{重复|写}两遍$how。|两遍$how：$text}',
    relist:
      '{{请|}把{这个|下面的|}{列表|清单}{改写|写|列}成$how：\n$text|{照抄|重写|重新列出}{清单|列表}，用$how：\n$text|$text\n{写成|改成|列成}$how。}',
    pick: '{{这里|下面|列表中|清单里}{的|}$place是{什么|哪个|哪一个}：$text|{请|}{给出|说出|告诉我|写出}$place：$text|$text\n{$place是什么？|$place是哪个？|只要$place。|写出$place。}|{列表|清单}：$text\n{$place？|哪个是$place？}|{只读|只念|只写}$place：$text}',
    pickTwo:
      '{{请|}{写出|给出|抄写|告诉我}{其中的|}$place：$text|$text\n{只要|只写|抄写|重复}$place。|{只保留|只留下}$place：$text|{列表|清单}：$text\n$place是什么？}',
    edge: '{{这行|这里|下面}的$side词是{什么|哪个}：$text|$text\n{$side词是什么？|只要$side词。|写出$side词。}|{请|}{说出|写出|告诉我}$side词：$text|“$text”的$side词是？}',
    neighbour:
      '{{这里|下面|清单里}$item{的|}$side一个是{什么|哪个}：$text|$text\n$item{的|}$side一个是{什么|哪个}？|{找到|找出}$item，{写出|告诉我}它$side的一个：$text|在“$text”中，$item$side是什么？}',
    without:
      '{{请|}{去掉|删掉|除去|不要}$item，{写出其余的|其他照抄|重复剩下的}：$text|$text\n{去掉|删掉|删除}$item{。|，写出剩下的。}|从{清单|列表}里{删除|去掉}$item：$text}',
    spell:
      '{{请|}{拼写|拼一下|逐个字母拼出|逐个字母写出}{$word|“$word”}$how{。|}|$word怎么拼$how{？|}|{写出|列出|给出}{单词|}{$word|“$word”}的{字母|每个字母}$how{。|}|把{$word|“$word”}拆成字母$how。|逐个字母$how：$word}',
    backward:
      '{{请|}{倒着|反着}{写|拼|念}{$word|“$word”}{。|}|把{$word|“$word”}{倒过来|反过来}{写|}{。|}|{$word|“$word”}{倒过来|反过来|倒着写}是什么？|倒序写出$word。|反转：$word}',
    value:
      '{{这里|下面}{的|}{$key|“$key”}{是什么|的值是什么|是多少}：\n$record|$record\n{$key是什么？|$key的值是？|给出$key的值。|只要$key。|查一下$key。}|{数据|记录|配置}：\n$record\n{$key？|$key的值？|$key写的是什么？}|从{下面的内容|以下内容}中{找出|读出|告诉我}$key：\n$record}',
    keyOf:
      '{{哪个|哪一个}{键|字段|项目}{的值是|是|写着}{$value|“$value”}：\n$record|$record\n{哪个{键|字段}的值是$value？|$value是哪个字段的值？|$value属于哪一项？}|{数据|记录}：\n$record\n{找到$value，给出它的键。|$value对应哪个键？}}',
    json: '{{请|}{用JSON|以JSON}{输出|返回|写出|给出}{$keys|下面的$keys}：\n$record|$record\n{只要$keys，用JSON。|用JSON返回$keys。|把$keys写成JSON。}|从{下面的内容|记录}中{取出|提取|抄出}$keys，{写成|输出}JSON：\n$record|{数据|记录}：\n$record\n{字段|键}：$keys\n{JSON：|用JSON回答。|只要JSON。}}',
    fill: '{{请|}{填写|填好|完成}{这个|下面的|}{表格|模板}：\n$form\n{内容|消息|根据}：$text|$text\n{填写|据此填写|按这个格式写}：\n$form|{消息|读一下}：$text\n{现在填写|写成这个格式|按格式回答}：\n$form|{模板|格式}：\n$form\n{内容|信息}：$text}',
    mentioned:
      '{{我买了|我们说到了|他们寄来了|笔记里有|桌上有|她提到}$text。{下面哪个{提到了|在里面|出现过}|其中提到的是哪个}：$options？|{文字|清单|笔记}：$text\n{下面哪个在里面|哪个提到了|哪一个出现了}：$options？|$options中，哪个{被提到了|出现在这里}：$text}',
    absent:
      '{{我买了|我们说到了|他们寄来了|笔记里有|她提到}$text。{下面哪个{没有提到|不在里面|没出现}|没提到的是哪个}：$options？|{文字|清单|笔记}：$text\n{下面哪个不在里面|哪个没有提到}：$options？|$options中，哪个{没有被提到|没有出现在这里}：$text}',
  },
};

/** Sentences that state fields; each `$` name is a kind of item. */
export const scenes: Readonly<Record<Language, readonly string[]>> = {
  en: [
    '$name lives in $city.',
    '$name {arrives|lands|will be} in $city at $time.',
    '{Hi, |}I am $name and my {code|order} is $code.',
    '$name from $city {wrote|sent a note} at $time, the number is $code.',
    '{The parcel|Order|Ticket} $code {for $name |to $name }goes to $city.',
    '{You can write to|Please mail} $name at $mail.',
    '$name {ordered|bought|needs} $number {pieces|units} of {item |}$code.',
    'Train $code {leaves|departs from} $city at $time.',
    'At $time $name called {about|because of} $code.',
    '$name, $city, $mail.',
    '{Room|Gate|Box} $code: $name, from $time, {in |}$city.',
    '{The password is|Remember the word} $word, says $name.',
  ],
  zh: [
    '$name住在$city。',
    '$name{将|会|}在$time到{达|}$city。',
    '{你好，|}我是$name，{编号|订单号}是$code。',
    '{来自$city的$name|$city的$name}在$time留言，号码是$code。',
    '{包裹|订单}$code{寄给$name，地点是|由$name寄到}$city。',
    '{可以写信给|请联系}$name，邮箱是$mail。',
    '$name{订了|买了|需要}$number件{货号|商品}$code。',
    '{列车|班车}$code在$time从$city{出发|开出}。',
    '$time的时候$name{打来电话|来电}，{说的是|关于}$code。',
    '{口令是|记住这个词：}$characters，$name说。',
  ],
};

/** What a form calls each kind of item. */
export const labels: Readonly<Record<Language, Readonly<Record<string, string>>>> = {
  en: {
    name: '{Name|Person|Who|name}',
    city: '{City|Place|Where|city}',
    time: '{Time|When|At|time}',
    code: '{Code|No.|ID|code}',
    mail: '{Mail|E-mail|email|Contact}',
    number: '{Count|Quantity|Amount|qty}',
    word: '{Word|Password|word}',
  },
  zh: {
    name: '{姓名|名字|人}',
    city: '{城市|地点|地方}',
    time: '{时间|几点}',
    code: '{编号|号码|代码}',
    mail: '{邮箱|邮件|联系方式}',
    number: '{数量|件数}',
    characters: '{口令|词}',
  },
};
