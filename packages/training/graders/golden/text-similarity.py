import json, sys, types
from rapidfuzz import fuzz
import sacrebleu
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics.pairwise import cosine_similarity
import re
class NoWordNet:
    def synsets(self, w): return []
stem=PorterStemmer(mode=PorterStemmer.MARTIN_EXTENSIONS)
pairs=[
 ("The cat sat on the mat.","The cat is sitting on the mat."),
 ("the the the the the the the","the cat is on the mat"),
 ("It is a guide to action which ensures that the military always obeys the commands of the party","It is a guide to action that ensures that the military will forever heed Party commands"),
 ("It is to insure the troops forever hearing the activity guidebook that party direct","It is a guide to action that ensures that the military will forever heed Party commands"),
 ("42","42"),("42","43"),("","something"),("something",""),("",""),
 ("hello","hello world"),("Running quickly, he jumps over fences.","He runs and jumped quickly over the fence!"),
 ("Prices rose 3.5% to $1,234.56 in Q3 (up from $1,190).","In Q3 prices were up 3.5 %, from $1,190 to $1,234.56."),
 ("state-of-the-art models don't hallucinate","State of the art models do not hallucinate."),
 ("a b c d e f g","g f e d c b a"),
 ("one two three four five six seven eight nine ten","one two three five four six seven eight ten nine"),
 ("Tom &amp; Jerry said \"hi\" <br> twice","Tom & Jerry said \"hi\" twice"),
 ("the quick brown fox jumps over the lazy dog","the quick brown dog jumps over the lazy fox"),
 ("naïve café résumé","naive cafe resume"),
 ("abc abc abc xyz","abc xyz abc"),
 ("Multi\nline text\twith spaces ","Multi line text with  spaces"),
 ("relational conditional rationally vietnamization formalize electrical hopefulness","relate conditions rational vietnam formal electricity hopeful"),
 ("2021-12-25, 3-4 and 7.","2021-12-25 3-4 7."),
]
zh=[("猫坐在垫子上。","猫正坐在垫子上。"),("我今天去了 3 家商店","我昨天去了 4 家商店。"),("不知道","我不知道"),("DeepSeek是一个模型","DeepSeek 是模型")]
words=lambda s: re.findall(r'\w+', s.lower())
out=[]
def row(c,r,lang):
    o={'input':c,'reference':r,'fuzzy_match':fuzz.ratio(c,r)/100}
    o['bleu']=sacrebleu.sentence_bleu(c,[r],tokenize='zh' if lang=='zh' else '13a').score/100
    if lang=='zh':
        tok=lambda s: [t for t in re.findall(r'[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+', s.lower())]
    else: tok=words
    a,b=tok(c),tok(r)
    o['gleu']=float(sentence_gleu([b],a)) if a or b else 0.0
    o['meteor']=float(single_meteor_score(b,a,stemmer=stem,wordnet=NoWordNet())) if a and b else 0.0
    if lang!='zh' and c.isascii() and r.isascii():
        # rouge-score's own tokens are what is not a-z or 0-9
        s=rouge_scorer.RougeScorer(['rouge1','rouge2','rouge3','rouge4','rouge5','rougeL']).score(r,c)
    else:
        class T:
            def tokenize(self,t): return tok(t)
        s=rouge_scorer.RougeScorer(['rouge1','rouge2','rouge3','rouge4','rouge5','rougeL'],tokenizer=T()).score(r,c)
    for k in '12345': o['rouge_'+k]=s['rouge'+k].fmeasure
    o['rouge_l']=s['rougeL'].fmeasure
    if a and b:
        v=CountVectorizer(analyzer=lambda x:x); m=v.fit_transform([a,b]); o['cosine']=float(cosine_similarity(m)[0,1])
    else: o['cosine']=0.0
    out.append(o)
for c,r in pairs: row(c,r,'en')
for c,r in zh: row(c,r,'zh')
import nltk, rapidfuzz, sklearn, importlib.metadata as im
print(json.dumps({'madeWith':{n:im.version(n) for n in ['nltk','rouge-score','sacrebleu','rapidfuzz','scikit-learn']},'rows':out},ensure_ascii=False,indent=1))
