"""Pairs of addresses, written out: those of one page, and those of two."""

SAME = """
http://example.com/a https://example.com/a
http://example.com http://example.com/
http://example.com/a http://example.com/a/
http://example.com/a/b/ http://example.com/a/b
http://example.com/a// http://example.com/a
HTTP://EXAMPLE.COM/a http://example.com/a
http://Example.com/a http://example.com/a
http://example.com:80/a http://example.com/a
https://example.com:443/a https://example.com/a
http://example.com:8080/a http://example.com/a
http://user@example.com/a http://example.com/a
http://user:secret@example.com/a http://example.com/a
http://example.com./a http://example.com/a
http://www.example.com/a http://example.com/a
https://www.example.com http://example.com
http://WWW.example.com/ http://example.com/
www.example.com/a example.com/a
example.com/a http://example.com/a
//example.com/a https://example.com/a
http://www.example.co.uk/a http://example.co.uk/a
http://example.com/a#top http://example.com/a
http://example.com/a# http://example.com/a
http://example.com/#/ http://example.com/
http://example.com/a#a?b http://example.com/a
http://example.com/a? http://example.com/a
http://example.com/a?# http://example.com/a
http://example.com/a?& http://example.com/a
http://example.com/a?b=1& http://example.com/a?b=1
http://example.com/a?&b=1 http://example.com/a?b=1
http://example.com/a?b=1&&c=2 http://example.com/a?b=1&c=2
http://example.com/a?b=1&c=2 http://example.com/a?c=2&b=1
http://example.com/a?c=3&b=2&a=1 http://example.com/a?a=1&b=2&c=3
http://example.com/a?x=2&x=1 http://example.com/a?x=1&x=2
http://example.com/a/?b=1 http://example.com/a?b=1
http://example.com?b=1 http://example.com/?b=1
http://example.com/%7Eann http://example.com/~ann
http://example.com/%7eann http://example.com/%7Eann
http://example.com/%41%42 http://example.com/AB
http://example.com/caf%c3%a9 http://example.com/caf%C3%A9
http://example.com/café http://example.com/caf%C3%A9
http://example.com/a%20b http://example.com/a b
http://example.com/% http://example.com/%25
http://example.com/漢字 http://example.com/%E6%BC%A2%E5%AD%97
http://example.com/./a http://example.com/a
http://example.com/b/../a http://example.com/a
http://example.com/b/c/../../a http://example.com/a
http://example.com/../a http://example.com/a
http://example.com/a/. http://example.com/a/
http://example.com/a/b/.. http://example.com/a/
http://example.com/%2e/a http://example.com/a
http://example.com/b/%2E%2e/a http://example.com/a
http://bücher.example/a http://xn--bcher-kva.example/a
http://BÜCHER.example/a http://xn--bcher-kva.example/a
http://ｅxample.com/a http://example.com/a
http://0x7f.1/a http://127.0.0.1/a
http://2130706433/a http://127.0.0.1/a
http://[2001:DB8:0::1]/a http://[2001:db8::1]/a
http:\\\\example.com\\a http://example.com/a
http:/example.com/a http://example.com/a
http:example.com/a http://example.com/a
http://example.com/a?utm_source=x http://example.com/a
http://example.com/a?utm_source=x&utm_medium=y&utm_campaign=z http://example.com/a
http://example.com/a?UTM_Source=x http://example.com/a
http://example.com/a?b=1&utm_term=x http://example.com/a?b=1
http://example.com/a?utm_content=1&b=1 http://example.com/a?b=1
http://example.com/a?utm_id http://example.com/a
http://example.com/a?gclid=Cj0K http://example.com/a
http://example.com/a?dclid=1 http://example.com/a
http://example.com/a?gbraid=1&wbraid=2 http://example.com/a
http://example.com/a?fbclid=IwAR http://example.com/a
http://example.com/a?b=1&fbclid=IwAR&c=2 http://example.com/a?b=1&c=2
http://example.com/a?msclkid=1 http://example.com/a
http://example.com/a?yclid=1 http://example.com/a
http://example.com/a?ysclid=1 http://example.com/a
http://example.com/a?twclid=1 http://example.com/a
http://example.com/a?ttclid=1 http://example.com/a
http://example.com/a?li_fat_id=1 http://example.com/a
http://example.com/a?igshid=1 http://example.com/a
http://example.com/a?mc_cid=1&mc_eid=2 http://example.com/a
http://example.com/a?mkt_tok=1 http://example.com/a
http://example.com/a?_ga=1.2.3 http://example.com/a
http://example.com/a?_gl=1*x http://example.com/a
http://example.com/a?_hsenc=1&_hsmi=2 http://example.com/a
http://example.com/a?hsa_acc=1&hsa_cam=2 http://example.com/a
http://example.com/a?pk_campaign=1 http://example.com/a
http://example.com/a?piwik_kwd=1 http://example.com/a
http://example.com/a?mtm_source=1 http://example.com/a
http://example.com/a?srsltid=1 http://example.com/a
http://example.com/a?wickedid=1 http://example.com/a
http://example.com/a?vero_id=1 http://example.com/a
http://example.com/a?PHPSESSID=0123 http://example.com/a
http://example.com/a?phpsessid=0123&id=7 http://example.com/a?id=7
http://example.com/a?JSESSIONID=0123 http://example.com/a
http://example.com/a;jsessionid=0123 http://example.com/a
http://example.com/a;JSESSIONID=0123?b=1 http://example.com/a?b=1
http://example.com/a/;jsessionid=0123 http://example.com/a
http://example.com/a?ASPSESSIONIDAB=1 http://example.com/a
http://example.com/a?CFID=1&CFTOKEN=2 http://example.com/a
http://example.com/a?osCsid=1 http://example.com/a
http://example.com/a?zenid=1 http://example.com/a
http://www.example.com:80/b/../a/?utm_source=x&c=2&b=1#top https://example.com/a?b=1&c=2
"""
"""One page a line, two addresses of it."""

OTHER = """
http://example.com/a http://example.com/b
http://example.com/a http://example.com/A
http://example.com/a http://example.org/a
http://example.com/a http://sub.example.com/a
http://example.com/a http://example.com/a/b
http://example.com/a http://example.com/a.html
http://example.com/a.htm http://example.com/a.html
http://example.com/ http://example.com/index.html
http://example.com/a http://example.com/a?b
http://example.com/a?b=1 http://example.com/a?b=2
http://example.com/a?b=1 http://example.com/a?B=1
http://example.com/a?b=x http://example.com/a?b=X
http://example.com/a?b=1 http://example.com/a?c=1
http://example.com/a?b=1 http://example.com/a?b=1&c=2
http://example.com/a?b http://example.com/a?b=
http://example.com/a?b=1&c=2 http://example.com/a?b=2&c=1
http://example.com/a?bc=1 http://example.com/a?b=c1
http://example.com/a?id=7 http://example.com/a?id=77
http://example.com/a?id=7 http://example.com/a
http://example.com/a?page=1 http://example.com/a?page=2
http://example.com/a?lang=de http://example.com/a?lang=fr
http://example.com/a?ref=1 http://example.com/a
http://example.com/a?source=1 http://example.com/a
http://example.com/a?sid=1 http://example.com/a
http://example.com/a?session=1 http://example.com/a
http://example.com/a?utm=1 http://example.com/a
http://example.com/a?xutm_source=1 http://example.com/a
http://example.com/a?gclid2=1 http://example.com/a
http://example.com/a?fbclidx=1 http://example.com/a
http://example.com/a?v=utm_source http://example.com/a
http://example.com/a?v=gclid=1 http://example.com/a
http://example.com/utm_source=1 http://example.com/
http://example.com/a%2Fb http://example.com/a/b
http://example.com/a%3Fb http://example.com/a?b
http://example.com/a%23b http://example.com/a
http://example.com/a%26b http://example.com/a&b
http://example.com/a?b=1%26c=2 http://example.com/a?b=1&c=2
http://example.com/a+b http://example.com/a b
http://example.com/a//b http://example.com/a/b
http://example.com//a http://example.com/a
http://example.com/... http://example.com/
http://example.com/.a http://example.com/a
http://example.com/a. http://example.com/a
http://example.com/a;b=1 http://example.com/a
http://example.com/a;session=1 http://example.com/a
http://example.com/caf%C3%A9 http://example.com/cafe
http://example.com/caf%C3%A9 http://example.com/cafe%CC%81
http://example.com/%E6%BC%A2 http://example.com/%E5%AD%97
http://bücher.example/a http://bucher.example/a
http://www.com/a http://com/a
http://www2.example.com/a http://example.com/a
http://wwww.example.com/a http://example.com/a
http://m.example.com/a http://example.com/a
http://en.example.com/a http://de.example.com/a
http://example.com/www.example.org http://example.org/
http://example.com/http://example.org http://example.org/
http://example.com/2020/01 http://example.com/2020/02
http://example.com/1 http://example.com/01
http://example.com/?1 http://example.com/?01
http://example.com/a-b http://example.com/a_b
http://example.com/a?b=1;c=2 http://example.com/a?b=1&c=2
http://example.com/a?b=%2B http://example.com/a?b=+
http://example.com/a?x=1&x=1 http://example.com/a?x=1
http://example.com/a?x=1&x=2 http://example.com/a?x=1
http://127.0.0.1/a http://127.0.0.2/a
http://[2001:db8::1]/a http://[2001:db8::2]/a
http://a.b/c http://ab/c
http://ab.c/d http://a.bc/d
http://example.com/ab http://example.coma/b
http://example.com/a?b/ http://example.com/a?b
http://example.com/a/?b=1/ http://example.com/a/?b=1
http://example.co/a http://example.com/a
http://example.com/user/ann http://example.com/user/bob
http://example.com/viewtopic.php?t=12 http://example.com/viewtopic.php?t=13
http://example.com/viewtopic.php?f=1&t=2 http://example.com/viewtopic.php?f=2&t=1
http://example.com/watch?v=aBc http://example.com/watch?v=abc
http://example.com/node/5?page=0,1 http://example.com/node/5?page=1,0
http://example.com/a?q=a+b http://example.com/a?q=ab
http://example.com/a?q[]=1 http://example.com/a?q=1
http://example.com/a?print=1 http://example.com/a
http://example.com/amp/a http://example.com/a
http://example.com/a?amp=1 http://example.com/a
http://example.com/feed http://example.com/
http://example.com/a?=1 http://example.com/a
http://example.com/a?utm_source http://example.com/a?other
http://example.com/%00 http://example.com/
http://example.com/a%0A http://example.com/a
http://example.com/a?b=%00 http://example.com/a?b=
http://example.com/%25 http://example.com/%2525
http://example.com/%2541 http://example.com/%41
http://example.com/~ http://example.com/-
http://example.com/a?b=1#c=2 http://example.com/a?b=1&c=2
http://example.com/a' http://example.com/a
http://example.com/a! http://example.com/a
http://example.com/(a) http://example.com/a
http://example.com/a* http://example.com/a
http://example.com/a,b http://example.com/ab
http://example.com/a:b http://example.com/ab
http://example.com/a@b http://example.com/ab
"""
"""Two pages a line."""


def pairs(lines: str) -> list[tuple[str, str]]:
    """The two addresses of each line; white space before `http` or a last word parts them."""
    split = (line.split(" ", 1) if line.count(" ") == 1 else _at_scheme(line) for line in lines.strip().splitlines())
    return [(first, second) for first, second in split]


def _at_scheme(line: str) -> tuple[str, str]:
    place = line.index(" http", 1)
    return line[:place], line[place + 1 :]
